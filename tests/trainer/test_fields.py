"""Every field of the Plan is honoured, refused by name or said to be without effect: none is dropped."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan.plan import Plan, build, ordered_names
from loraplan_trainer import arguments
from loraplan_trainer.data.encode import mask
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.fields import TABLE, accept, judge
from loraplan_trainer.fields.outcomes import Honoured, NoEffect, Refused
from loraplan_trainer.situation import Situation

CPU = Situation()
CARD = Situation(device="cuda", eval_data=True)
BASE: dict[str, Any] = {"method": "sft", "model.name": "m", "adapter.method": "lora", "adapter.r": 8.0}


def plan_of(**values: Any) -> Plan:
    return build({**BASE, **{name.replace("__", "."): value for name, value in values.items()}})


def outcome(name: str, value: Any, situation: Situation = CPU, **others: Any) -> Any:
    plan = build({**BASE, **{key.replace("__", "."): other for key, other in others.items()}, name: value})
    return TABLE[name](value, plan, situation)


def test_every_field_is_in_the_table_once_and_no_other() -> None:
    assert list(ordered_names()) == sorted(TABLE, key=ordered_names().index)
    assert set(TABLE) == set(ordered_names())


# A value that is honoured and differs from the library's default, with what must be set beside it.
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "model.revision": ("v2", {}),
    "model.dtype": ("bfloat16", {}),
    "model.attn_implementation": ("eager", {}),
    "adapter.method": ("none", {}),
    "adapter.r": (4.0, {}),
    "adapter.alpha": (32.0, {}),
    "adapter.scaling": (4.0, {}),
    "adapter.dropout": (0.1, {}),
    "adapter.bias": ("all", {}),
    "adapter.lora_bias": (True, {}),
    "adapter.target_modules": (("q_proj",), {}),
    "adapter.exclude_modules": (("q_proj",), {}),
    "adapter.target_parameters": (("experts.w1",), {}),
    "adapter.modules_to_save": (("embed_tokens",), {}),
    "adapter.layers_to_transform": ((0,), {}),
    "adapter.layers_pattern": ("layers", {}),
    "adapter.rank_pattern": ({"q_proj": 4.0}, {}),
    "adapter.alpha_pattern": ({"q_proj": 4.0}, {}),
    "adapter.trainable_token_indices": ((1, 2), {}),
    "adapter.ensure_weight_tying": (True, {}),
    "adapter.fan_in_fan_out": (True, {}),
    "adapter.use_rslora": (True, {}),
    "adapter.use_dora": (True, {}),
    "adapter.init": ("gaussian", {}),
    "quantization.bits": (4.0, {}),
    "quantization.load_in_4bit": (True, {}),
    "quantization.load_in_8bit": (True, {}),
    "quantization.quant_type": ("nf4", {"quantization.bits": 4.0}),
    "quantization.double_quant": (True, {"quantization.bits": 4.0}),
    "quantization.compute_dtype": ("bfloat16", {"quantization.bits": 4.0}),
    "quantization.quant_storage": ("bfloat16", {"quantization.bits": 4.0}),
    "quantization.llm_int8_threshold": (5.0, {"quantization.bits": 8.0}),
    "optimizer.name": ("sgd", {}),
    "optimizer.learning_rate": (1e-3, {}),
    "optimizer.weight_decay": (0.1, {}),
    "optimizer.beta1": (0.8, {}),
    "optimizer.beta2": (0.95, {}),
    "optimizer.epsilon": (1e-6, {}),
    "optimizer.max_grad_norm": (0.3, {}),
    "optimizer.args": ("momentum=0.9", {"optimizer.name": "sgd"}),
    "optimizer.target_modules": (("mlp",), {"optimizer.name": "galore_adamw"}),
    "schedule.name": ("cosine", {}),
    "schedule.warmup_ratio": (0.1, {}),
    "schedule.warmup_steps": (10.0, {}),
    "schedule.epochs": (1.0, {}),
    "schedule.max_steps": (10, {}),
    "schedule.args": ({"num_cycles": 2.0}, {"schedule.name": "cosine_with_restarts"}),
    "loss.type": (("dft",), {}),
    "loss.weights": ((1.0, 0.5), {"method": "dpo", "loss.type": ("sigmoid", "sft")}),
    "loss.beta": (0.3, {"method": "dpo"}),
    "loss.label_smoothing": (0.1, {"method": "dpo", "loss.type": ("robust",)}),
    "batch.micro_batch_size": (2, {}),
    "batch.gradient_accumulation_steps": (4, {}),
    "batch.global_batch_size": (32, {"batch.micro_batch_size": 4}),
    "batch.eval_batch_size": (2, {}),
    "precision.bf16": (True, {}),
    "precision.fp16": (True, {}),
    "precision.tf32": (True, {}),
    "precision.gradient_checkpointing": (False, {}),
    "precision.use_reentrant": (True, {"precision.gradient_checkpointing": True}),
    "precision.activation_offloading": (True, {}),
    "precision.compile": (True, {}),
    "data.max_length": (128, {}),
    "data.packing": (True, {"data.max_length": 128}),
    "data.packing_strategy": ("wrapped", {"data.max_length": 128, "data.packing": True}),
    "data.padding_free": (True, {"model.attn_implementation": "flash_attention_2"}),
    "data.train_on_prompt": (True, {}),
    "data.completion_only_loss": (False, {}),
    "data.assistant_only_loss": (True, {}),
    "data.sampling": ("group_by_length", {}),
    "run.eval_strategy": ("steps", {}),
    "run.eval_steps": (5.0, {"run.eval_strategy": "steps"}),
    "run.save_strategy": ("epoch", {}),
    "run.save_steps": (5.0, {}),
    "run.logging_steps": (5.0, {}),
    "run.load_best_model_at_end": (True, {"run.save_strategy": "epoch"}),
    "run.neftune_noise_alpha": (5.0, {}),
    "run.data_seed": (3, {}),
    "run.early_stopping_patience": (2, {}),
}
# Honoured outside the arguments, each by a test of its own: of the data, of loading, of whole runs.
ELSEWHERE = {
    "method", "model.name", "model.trust_remote_code", "model.task", "adapter.task_type", "adapter.loraplus_lr_ratio",
    "adapter.autocast_adapter_dtype", "adapter.resume_from", "quantization.method", "data.datasets",
    "data.eval_datasets", "data.max_samples", "data.new_tokens", "data.resize_vocab", "data.val_size",
    "data.chat_template", "run.seed", "adapter.loftq_config",
}  # fmt: skip
# What only a launcher, a card with liger-kernel, or nothing gives an effect.
CIRCUMSTANCES = {
    "model.max_position_embeddings", "precision.checkpointing_kind", "precision.fused_loss", "distributed.strategy",
    "distributed.deepspeed", "distributed.fsdp", "distributed.devices", "distributed.offload",
    "distributed.tensor_parallel", "distributed.context_parallel", "run.output_dir", "run.push_to_hub",
    "run.hub_private_repo", "run.resume_from_checkpoint",
}  # fmt: skip


def test_every_field_is_tested_somewhere() -> None:
    assert set(CHANGES) | ELSEWHERE | CIRCUMSTANCES == set(TABLE)
    assert not set(CHANGES) & (ELSEWHERE | CIRCUMSTANCES)


def built(values: dict[str, Any]) -> Any:
    plan = build({**BASE, **values})
    return (
        arguments.training(plan, CARD, 1), arguments.lora(plan), arguments.quantization(plan),
        arguments.model(plan, CARD), mask(plan),
    )  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_honoured_value_reaches_the_libraries(name: str) -> None:
    value, beside = CHANGES[name]
    plan = build({**BASE, **beside, name: value})
    assert isinstance(TABLE[name](value, plan, CARD), Honoured)
    assert built({**beside, name: value}) != built(beside)


def test_what_the_libraries_are_given() -> None:
    plan = plan_of(
        adapter__alpha=16.0, adapter__target_modules=("q_proj", "v_proj"), adapter__init="pissa",
        adapter__rank_pattern={"q_proj": 4.0}, quantization__bits=4.0, quantization__quant_type="nf4",
        schedule__warmup_ratio=0.03, batch__micro_batch_size=2, batch__global_batch_size=16, optimizer__name="adamw",
    )  # fmt: skip
    given = arguments.training(plan, Situation(processes=2), 5)
    assert given["gradient_accumulation_steps"] == 4
    assert given["warmup_steps"] == 0.03
    assert given["optim"] == "adamw_torch"
    assert (given["seed"], given["data_seed"]) == (5, 5)
    assert given["max_length"] is None
    assert arguments.lora(plan) == {
        "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"q_proj": 4}, "init_lora_weights": "pissa",
    }  # fmt: skip
    assert arguments.quantization(plan) == {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def test_a_multiplier_becomes_alpha() -> None:
    plain, rooted = plan_of(adapter__scaling=20.0), plan_of(adapter__scaling=2.0, adapter__use_rslora=True)
    assert (arguments.lora(plain) or {})["lora_alpha"] == 160
    assert (arguments.lora(rooted) or {})["lora_alpha"] == pytest.approx(2 * 8**0.5)


@pytest.mark.parametrize(
    ("name", "value", "others"),
    [
        ("method", "grpo", {}),
        ("model.attn_implementation", "kernels-community/flash-attn", {}),
        ("model.task", "sequence_classification", {}),
        ("adapter.method", "ia3", {}),
        ("adapter.r", 0.0, {}),
        ("adapter.r", 7.5, {}),
        ("adapter.bias", "some", {}),
        ("adapter.scaling", 3.0, {"adapter__alpha": 16.0}),
        ("adapter.init", "eva", {}),
        ("adapter.init", "pissa", {"quantization__bits": 4.0}),
        ("adapter.init", "olora", {"method": "dpo"}),
        ("adapter.init", "loftq", {"quantization__bits": 4.0}),
        ("adapter.use_dora", True, {"adapter__init": "pissa"}),
        ("adapter.target_modules", ("q_proj", "lm_head"), {}),
        ("quantization.bits", 4.0, {"adapter__method": "none"}),
        ("quantization.bits", 3.0, {}),
        ("quantization.method", "gptq", {}),
        ("quantization.quant_type", "int4", {"quantization__bits": 4.0}),
        ("optimizer.name", "galore_adamw", {}),
        ("optimizer.name", "adam", {"optimizer__weight_decay": 0.1}),
        (
            "optimizer.name",
            "apollo_adamw_layerwise",
            {"optimizer__target_modules": "all-linear", "batch__gradient_accumulation_steps": 2},
        ),
        ("optimizer.name", "adalomo", {}),
        ("optimizer.name", "lomo", {"adapter__loraplus_lr_ratio": 8.0}),
        ("optimizer.name", "muon", {}),
        ("optimizer.args", "rank", {"optimizer__name": "galore_adamw", "optimizer__target_modules": "all-linear"}),
        ("optimizer.args", "alpha=0.9", {"optimizer__name": "rmsprop_bnb_8bit"}),
        ("schedule.name", "rex", {}),
        ("schedule.name", "greedy", {}),
        ("schedule.name", "cosine_with_min_lr", {}),
        ("schedule.name", "cosine_with_min_lr", {"schedule__args": {"min_lr": 1e-6, "min_lr_rate": 0.1}}),
        ("schedule.name", "warmup_stable_decay", {"schedule__args": {"num_stable_steps": 4.0}}),
        ("schedule.name", "reduce_lr_on_plateau", {}),
        ("schedule.args", {"min_lr_rate": 0.1}, {"schedule__name": "cosine"}),
        ("schedule.args", {"num_cycles": 2.0}, {}),
        ("schedule.args", {"lr_end": 1e-3}, {"schedule__name": "polynomial", "optimizer__learning_rate": 1e-4}),
        ("schedule.args", {"power": "two"}, {"schedule__name": "polynomial"}),
        ("schedule.args", {"num_decay_steps": 0.5}, {"schedule__name": "warmup_stable_decay"}),
        ("schedule.args", {"num_decay_steps": 2.0, "decay_type": "steep"}, {"schedule__name": "warmup_stable_decay"}),
        ("loss.type", ("sigmoid",), {}),
        ("loss.type", ("nll", "dft"), {}),
        ("loss.type", ("kto_pair",), {"method": "dpo"}),
        ("loss.weights", (1.0,), {"method": "dpo", "loss__type": ("sigmoid", "sft")}),
        ("loss.beta", 0.0, {"method": "dpo", "loss__type": ("ipo",)}),
        ("loss.label_smoothing", 0.1, {"method": "dpo"}),
        ("loss.label_smoothing", 0.7, {"method": "dpo", "loss__type": ("robust",)}),
        ("data.sampling", "sorted", {}),
        ("run.early_stopping_patience", 3, {}),
        ("schedule.warmup_ratio", 3.0, {}),
        ("schedule.warmup_steps", 0.5, {}),
        ("batch.global_batch_size", 7, {"batch__micro_batch_size": 2}),
        ("batch.global_batch_size", 8, {"batch__micro_batch_size": 2, "batch__gradient_accumulation_steps": 2}),
        ("precision.fp16", True, {}),
        ("precision.bf16", True, {"precision__fp16": True}),
        ("data.packing", True, {"method": "dpo", "data__max_length": 8}),
        ("data.packing", True, {}),
        ("data.chat_template", "a_template_of_my_own", {}),
        ("data.new_tokens", ("<a>",), {}),
        ("data.train_on_prompt", True, {"data__completion_only_loss": True}),
        ("data.assistant_only_loss", True, {"data__train_on_prompt": True}),
        ("data.val_size", -0.1, {}),
        ("distributed.tensor_parallel", 2, {}),
        ("run.load_best_model_at_end", True, {}),
        ("run.save_strategy", "best", {}),
        ("run.resume_from_checkpoint", "out/checkpoint-5", {}),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(name: str, value: Any, others: dict[str, Any]) -> None:
    refused = outcome(name, value, **others)
    assert isinstance(refused, Refused)
    values = {**BASE, **{key.replace("__", "."): other for key, other in others.items()}, name: value}
    with pytest.raises(CannotRun, match="cannot be trained as it stands") as caught:
        accept(build(values), CPU)
    assert f"\n  {name}: {refused.text}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "others"),
    [
        ("model.trust_remote_code", True, {}),
        ("model.attn_implementation", "xformers", {}),
        ("model.attn_implementation", "flash_attention_2", {}),
        ("model.attn_implementation", "flex_attention", {}),
        ("adapter.dropout", 0.1, {"adapter__method": "none"}),
        ("quantization.quant_type", "nf4", {}),
        ("quantization.double_quant", True, {"quantization__bits": 8.0}),
        ("schedule.epochs", 3.0, {"schedule__max_steps": 10}),
        ("schedule.args", {"num_cycles": 2.0}, {"schedule__name": "constant"}),
        ("optimizer.args", "momentum=0.9", {"optimizer__name": "adamw_torch"}),
        ("optimizer.target_modules", ("mlp",), {"optimizer__name": "adamw_torch"}),
        ("optimizer.max_grad_norm", 1.0, {"optimizer__name": "lomo"}),
        ("loss.beta", 0.3, {}),
        ("loss.type", ("dapo",), {"method": "grpo"}),
        ("loss.weights", (1.0,), {}),
        ("loss.label_smoothing", 0.1, {}),
        ("data.sampling", "group_by_length", {"method": "dpo"}),
        ("precision.tf32", True, {}),
        ("precision.checkpointing_kind", "unsloth", {"precision__gradient_checkpointing": True}),
        ("precision.fused_loss", "liger", {}),
        ("data.padding_free", True, {}),
        ("distributed.strategy", "fsdp", {}),
        ("distributed.devices", 8, {}),
        ("run.eval_strategy", "steps", {}),
        ("run.output_dir", "out", {}),
        ("run.push_to_hub", True, {}),
    ],
)
def test_what_has_no_effect_is_said(name: str, value: Any, others: dict[str, Any]) -> None:
    said = outcome(name, value, **others)
    assert isinstance(said, NoEffect)
    assert said.text


def test_sharding_is_the_launchers() -> None:
    sharded = Situation(device="cuda", processes=2, sharding="fsdp")
    assert isinstance(outcome("distributed.strategy", "fsdp", sharded), Honoured)
    assert isinstance(outcome("distributed.strategy", "zero3", sharded), Refused)
    assert isinstance(outcome("distributed.strategy", "fsdp", Situation(device="cuda", processes=2)), Refused)
    assert isinstance(outcome("distributed.offload", True, sharded), Honoured)
    assert isinstance(outcome("adapter.init", "pissa", sharded), Refused)
    assert isinstance(outcome("adapter.init", "gaussian", sharded), Honoured)
    on_cpus = outcome("distributed.strategy", "fsdp", Situation(processes=2))
    assert isinstance(on_cpus, NoEffect)
    assert "on cards only" in on_cpus.text


def test_the_best_checkpoint_needs_to_be_kept() -> None:
    found = outcome("run.load_best_model_at_end", True, CARD, run__eval_strategy="epoch", run__save_strategy="steps")
    assert isinstance(found, Refused)
    assert "evaluated by epoch and saved by steps" in found.text
    kept = outcome("run.load_best_model_at_end", True, CARD, run__eval_strategy="steps", run__save_strategy="best")
    assert isinstance(kept, Honoured)
    plan = plan_of(run__save_strategy="best")
    assert arguments.training(plan, CARD, 1)["metric_for_best_model"] == "loss"


@pytest.mark.parametrize(
    ("name", "value", "package"),
    [
        ("optimizer.name", "schedule_free_adamw", "schedulefree"),
        ("optimizer.name", "adamw_torch_8bit", "torchao"),
        ("optimizer.name", "paged_adamw", "bitsandbytes"),
        ("optimizer.name", "lion_8bit", "bitsandbytes"),
        ("optimizer.name", "stable_adamw", "torch-optimi"),
        ("optimizer.name", "lomo", "lomo-optim"),
        ("quantization.bits", 4.0, "bitsandbytes"),
        ("quantization.load_in_8bit", True, "bitsandbytes"),
    ],
)
def test_a_package_that_is_not_installed_is_named(name: str, value: Any, package: str) -> None:
    refused = outcome(name, value, Situation(absent=frozenset({package})))
    assert isinstance(refused, Refused)
    assert f"package {package}" in refused.text
    assert isinstance(outcome(name, value), Honoured)


def test_low_rank_optimizers_need_their_package_and_their_modules() -> None:
    wanted = {"optimizer__target_modules": "all-linear"}
    for name, package in (("galore_adamw_8bit", "galore-torch"), ("apollo_adamw", "apollo-torch")):
        assert isinstance(outcome("optimizer.name", name, **wanted), Honoured)
        assert f"package {package}" in outcome("optimizer.name", name, Situation(absent=frozenset({package}))).text
        assert "needs optimizer.target_modules" in outcome("optimizer.name", name).text


def test_arguments_are_what_the_libraries_take() -> None:
    plan = plan_of(
        schedule__name="warmup_stable_decay", loss__type=("chunked_nll",), run__seed=1, run__data_seed=3,
        schedule__args={"num_decay_steps": 4.0, "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
    )  # fmt: skip
    given = arguments.training(plan, CARD, 1)
    assert given["lr_scheduler_kwargs"] == {"num_decay_steps": 4, "decay_type": "1-sqrt", "min_lr_ratio": 0.1}
    assert isinstance(given["lr_scheduler_kwargs"]["num_decay_steps"], int)
    assert (given["loss_type"], given["seed"], given["data_seed"]) == ("nll", 1, 3)
    pairs = plan_of(method="dpo", loss__type=("sigmoid", "sft"), loss__weights=(1.0, 0.5))
    given = arguments.training(pairs, CARD, 1)
    assert (given["loss_type"], given["loss_weights"]) == (["sigmoid", "sft"], [1.0, 0.5])


def test_deepspeed_needs_its_package() -> None:
    launched = Situation("cuda", 2, "deepspeed", absent=frozenset({"deepspeed"}))
    assert "package deepspeed" in outcome("distributed.strategy", "zero2", launched).text
    assert isinstance(outcome("distributed.strategy", "zero2", Situation("cuda", 2, "deepspeed")), Honoured)


def test_ligers_kernels_need_a_card_and_its_package() -> None:
    assert isinstance(outcome("precision.fused_loss", "liger", CARD), Honoured)
    without = Situation("cuda", absent=frozenset({"liger-kernel"}))
    assert "not installed" in outcome("precision.fused_loss", "liger", without).text
    assert "on a card only" in outcome("precision.fused_loss", "liger").text


def test_every_value_is_judged_and_only_those() -> None:
    plan = plan_of(run__seed=1)
    assert [name for name, _, _ in judge(plan, CPU)] == [
        "method", "model.name", "adapter.method", "adapter.r", "run.seed",
    ]  # fmt: skip


def test_a_plan_without_a_model_is_refused() -> None:
    with pytest.raises(CannotRun, match=r"model\.name: no model is named"):
        accept(build({"method": "sft"}), CPU)
