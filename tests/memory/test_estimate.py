"""The estimate as a whole: what it must never do, and a few figures worked out by hand."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loraplan
from loraplan.arch.sources import resolve
from loraplan.devices import find
from loraplan.memory import setup
from loraplan.memory.fit import fit
from loraplan.memory.model import estimate
from loraplan.memory.options import axes, options, swept, with_checkpointing
from loraplan.memory.stack import STACKS, stack_for
from loraplan.plan import Distributed, Quantization, build
from loraplan.rule import Skip  # noqa: F401

NAMES = (
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-4B",
    "google/gemma-2-9b",
    "mistralai/Mixtral-8x7B-v0.1",
    "openai-community/gpt2",
)
ARCHS = {name: resolve(name, base_dir=".", online=False, problems=[]) for name in NAMES}


def plan(**changes):
    values = {
        "adapter.method": "lora", "adapter.r": 16, "adapter.alpha": 32, "adapter.dropout": 0.0,
        "adapter.target_modules": "all-linear", "model.dtype": "bfloat16", "batch.micro_batch_size": 2,
        "batch.gradient_accumulation_steps": 1, "data.max_length": 1024, "data.packing": True, "precision.bf16": True,
        "precision.gradient_checkpointing": True, "optimizer.name": "adamw_torch", "quantization.bits": 16,
    }  # fmt: skip
    return build(values | {name.replace("__", "."): value for name, value in changes.items()})


NF4 = Quantization(bits=4, method="bnb", load_in_4bit=True, quant_type="nf4", double_quant=False)
DOUBLE = replace(NF4, double_quant=True)
INT8 = Quantization(bits=8, method="bnb", load_in_8bit=True)
ANY = st.sampled_from(NAMES)
STACK = st.sampled_from(sorted(STACKS))


def of(found, name, term):
    phase = next(item for item in found.phases if item.name == name)
    return sum(item.bytes for item in phase.terms if item.name == term)


class TestNever:
    @given(ANY, STACK, st.integers(1, 16), st.integers(16, 8192), st.booleans(), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_does_more_work_cost_less(self, name, stack, batch, length, checkpointing, quantized):
        run = replace(
            plan(batch__micro_batch_size=batch, data__max_length=length),
            quantization=DOUBLE if quantized else Quantization(bits=16),
        )
        run = with_checkpointing(run, "on" if checkpointing else "off")
        facts, arch = stack_for(stack), ARCHS[name]
        found = estimate(run, arch, stack=facts)
        here = found.peak.bytes
        assert found.device.high >= found.reserved.high >= found.allocated.expected
        for axis, value in (("batch", batch + 1), ("seq", length + 64), ("r", 32)):
            assert estimate(swept(run, axis, value), arch, stack=facts).peak.bytes >= here, axis

    @given(ANY, STACK, st.integers(1, 8), st.integers(64, 4096))
    @settings(max_examples=40, deadline=None)
    def test_does_checkpointing_keep_more(self, name, stack, batch, length):
        run, facts, arch = plan(batch__micro_batch_size=batch, data__max_length=length), stack_for(stack), ARCHS[name]
        off = of(estimate(with_checkpointing(run, "off"), arch, stack=facts), "forward", "saved activations")
        on = of(estimate(with_checkpointing(run, "on"), arch, stack=facts), "forward", "checkpointed inputs")
        assert on <= off

    @given(ANY, STACK)
    @settings(max_examples=25, deadline=None)
    def test_does_quantization_make_weights_larger(self, name, stack):
        facts, arch = stack_for(stack), ARCHS[name]
        sizes = []
        for quantization in (Quantization(bits=16), INT8, NF4, DOUBLE):
            found = estimate(replace(plan(), quantization=quantization), arch, stack=facts)
            sizes.append(of(found, "optimizer", "base weights") + of(found, "optimizer", "quantization statistics"))
        if not facts.upcast:  # an upcast of embeddings to fp32 can outweigh what quantization saves
            assert sizes == sorted(sizes, reverse=True)
        assert sizes[2] >= sizes[3]

    @given(ANY, st.integers(2, 16), st.sampled_from(["ddp", "fsdp", "fsdp2", "zero1", "zero2", "zero3"]), st.booleans())
    @settings(max_examples=40, deadline=None)
    def test_is_a_phase_empty_or_negative(self, name, gpus, strategy, offload):
        run = replace(plan(), distributed=Distributed(strategy=strategy, devices=gpus, offload=offload))
        found = estimate(run, ARCHS[name])
        assert all(term.bytes > 0 for phase in found.phases for term in phase.terms)
        for counter in (found.allocated, found.reserved, found.device):
            assert 0 < counter.low <= counter.expected <= counter.high
        assert found.allocated.expected <= found.reserved.expected <= found.device.expected

    def test_more_layers_cost_more(self):
        arch = ARCHS["meta-llama/Llama-3.1-8B"]
        fewer = replace(
            arch,
            num_layers=16,
            modules=tuple(m._replace(layers=m.layers[:16]) if m.layers else m for m in arch.modules),
        )
        assert estimate(plan(), fewer).peak.bytes < estimate(plan(), arch).peak.bytes


class TestWorkedOut:
    arch = ARCHS["meta-llama/Llama-3.1-8B"]

    def test_weights_of_nf4_with_double_quantization(self):
        linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
        ends, norms = 2 * 128256 * 4096, (2 * 32 + 1) * 4096
        blocks = linear // 64
        found = estimate(replace(plan(), quantization=DOUBLE), self.arch, stack=stack_for("axolotl"))
        assert of(found, "optimizer", "base weights") == linear // 2 + (ends + norms) * 2
        tables = 7 * 32 * (64 + 1024 + 4)
        assert of(found, "optimizer", "quantization statistics") == blocks + blocks // 256 * 4 + tables

    def test_adapters_and_their_state(self):
        per_layer = 16 * ((4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14336) * 3)
        found = estimate(plan(), self.arch, stack=stack_for("transformers"))
        assert of(found, "optimizer", "adapters") == 32 * per_layer * 4
        assert of(found, "optimizer", "optimizer state") == 32 * per_layer * 8

    def test_full_training_in_bf16_peaks_in_the_step_at_ten_bytes_a_parameter(self):
        run = plan(adapter__method="none", precision__bf16=False)
        found = estimate(run, self.arch, stack=stack_for("transformers", {"transformers": "4.48.1"}))
        assert found.peak.name == "optimizer"
        assert found.peak.bytes == pytest.approx(self.arch.parameters * 10, rel=1e-3)

    def test_a_paged_optimizer_is_not_in_pytorchs_counters(self):
        paged = replace(plan(), optimizer=replace(plan().optimizer, name="paged_adamw_8bit"))
        assert of(estimate(paged, self.arch), "optimizer", "optimizer state") == 0

    def test_full_sharding_divides_the_weights(self):
        run = replace(plan(), distributed=Distributed(strategy="fsdp", devices=4))
        one = of(estimate(plan(), self.arch), "optimizer", "base weights")
        assert of(estimate(run, self.arch), "optimizer", "base weights") == one // 4

    def test_litgpts_fsdp_holds_whole_weights_as_measured(self):
        run = replace(plan(), distributed=Distributed(strategy="fsdp", devices=4))
        held, freed = (stack_for("litgpt", holds_whole=value) for value in (True, False))
        weights = 2 * self.arch.parameters
        assert of(estimate(run, self.arch, stack=held), "backward", "whole weights") == weights
        assert of(estimate(run, self.arch, stack=freed), "backward", "whole weights") == 0
        assert of(estimate(plan(), self.arch, stack=held), "backward", "whole weights") == 0  # one GPU
        every = replace(run, adapter=plan(adapter__method="none").adapter)
        assert (
            of(estimate(every, self.arch, stack=held), "backward", "whole weights") == 0
        )  # a run of all weights did not
        assert any("whole weights" in item.what for item in estimate(run, self.arch, stack=held).unknown)

    def test_experts_stay_unquantized_since_transformers_5(self):
        arch = ARCHS["mistralai/Mixtral-8x7B-v0.1"]
        run = replace(plan(adapter__target_modules=("q_proj", "v_proj")), quantization=DOUBLE)
        now = of(estimate(run, arch, stack=stack_for("transformers")), "optimizer", "base weights")
        before = of(
            estimate(run, arch, stack=stack_for("transformers", {"transformers": "4.48.1"})),
            "optimizer",
            "base weights",
        )
        assert now > 80e9
        assert before < 30e9

    def test_an_unknown_optimizer_is_named_and_widens_the_range(self):
        run = replace(plan(), optimizer=replace(plan().optimizer, name="frobnicate"))
        found = estimate(run, self.arch)
        assert any("frobnicate" in item.what for item in found.unknown)
        plain = estimate(plan(), self.arch)
        assert found.allocated.high / found.allocated.expected > plain.allocated.high / plain.allocated.expected

    @pytest.mark.parametrize(("stack", "loss", "bytes_each"), [("trl", "tiled", 6), ("axolotl", "linear", 2)])
    def test_a_loss_in_pieces_sums_the_gradient_of_a_trained_head(self, stack, loss, bytes_each):
        facts = stack_for(stack, loss=loss, dtype="bfloat16")
        full, lora = (
            of(estimate(plan(adapter__method=method), self.arch, stack=facts), "loss", "logits and loss")
            for method in ("none", "lora")
        )
        assert full - lora == pytest.approx(bytes_each * 128256 * 4096, rel=0.03)  # the norm's backward may be larger

    def test_the_gradient_of_tied_embeddings_waits_for_its_other_half(self):
        arch = resolve("meta-llama/Llama-3.2-1B", base_dir=".", online=False, problems=[])
        run = plan(adapter__method="none", precision__bf16=False, batch__micro_batch_size=1)
        whole, pieces = (estimate(run, arch, stack=stack_for("transformers", loss=loss)) for loss in ("pad", "tiled"))
        size = 128256 * 2048 * 2
        assert of(whole, "backward", "gradients of tied embeddings") == 2 * size
        assert of(pieces, "backward", "gradients of tied embeddings") == size

    def test_autocast_keeps_a_copy_of_each_weight_once(self):
        arch = resolve("Qwen/Qwen2.5-7B", base_dir=".", online=False, problems=[])
        run = plan(adapter__method="none", model__dtype="float32")
        ends = 2 * 152064 * 3584
        kept = estimate(run, arch, stack=stack_for("transformers"))
        assert of(kept, "forward", "autocast copies") == 2 * (arch.parameters - ends)
        saved = estimate(with_checkpointing(run, "off"), arch, stack=stack_for("transformers"))
        assert of(saved, "forward", "autocast copies") == 0  # they are among what the blocks save

    def test_the_public_call(self):
        assert loraplan.estimate(plan(), self.arch).peak.bytes == estimate(plan(), self.arch).peak.bytes


class TestVerdict:
    arch = ARCHS["meta-llama/Llama-3.1-8B"]

    @pytest.mark.parametrize(
        ("gpu", "batch", "word"), [("h100-80gb", 1, "fits"), ("rtx-4090", 1, "does not fit"), ("t4", 1, "does not fit")]
    )
    def test_of_an_8b_lora_in_16_bits_at_4096(self, gpu, batch, word):
        run = plan(batch__micro_batch_size=batch, data__max_length=4096)
        assert fit(estimate(run, self.arch), find(gpu)).word == word

    def test_a_larger_batch_never_turns_it_round(self):
        order = ["fits", "tight", "does not fit"]
        words = [
            order.index(fit(estimate(plan(batch__micro_batch_size=2**n), self.arch), find("a100-40gb")).word)
            for n in range(8)
        ]
        assert words == sorted(words)
        assert words[0] == 0
        assert words[-1] == 2


class TestAllocator:
    arch = ARCHS["meta-llama/Llama-3.1-8B"]

    def test_states_among_activations_need_more_of_the_card_than_adapters(self):
        """What full fine-tuning keeps in the segments of its activations cannot be given back."""
        run = plan(adapter__method="none", precision__bf16=False, data__max_length=4096, batch__micro_batch_size=16)
        full, lora = estimate(run, self.arch), estimate(replace(run, adapter=plan().adapter), self.arch)
        assert full.peak.name == "loss"
        shares = [found.needed.expected / found.allocated.expected for found in (full, lora)]
        assert shares[0] > 1.09 > shares[1]

    def test_lengths_that_vary_stay_cached(self):
        packed, padded = (estimate(plan(data__packing=item), self.arch) for item in (True, False))
        extra = [found.reserved.expected - found.allocated.expected for found in (packed, padded)]
        assert extra[1] > 1.2 * extra[0]

    @given(ANY, STACK, st.integers(1, 16), st.booleans(), st.booleans(), st.sampled_from(["t4", "a100-80gb"]))
    @settings(max_examples=60, deadline=None)
    def test_the_card_is_the_limit_of_what_is_reserved(self, name, stack, batch, full, packing, gpu):
        run = plan(batch__micro_batch_size=batch, adapter__method="none" if full else "lora", data__packing=packing)
        found = estimate(run, ARCHS[name], find(gpu), stack=stack_for(stack))
        needed, reserved = found.needed, found.reserved
        assert found.allocated.low <= needed.low <= needed.expected <= needed.high
        assert reserved.low <= reserved.expected <= reserved.high
        if fit(found, find(gpu)).word != "does not fit":
            assert reserved.high <= find(gpu).usable_bytes


class TestOptions:
    def test_every_combination_and_the_run_itself_once(self):
        arch = ARCHS["meta-llama/Llama-3.1-8B"]
        found = list(options(plan(), arch, stack_for("transformers")))
        assert len(found) == 4 * 3 * 3
        (current,) = [item for item in found if item.current]
        assert (current.quantization, current.checkpointing, current.optimizer) == ("16-bit", "on", "adamw")
        assert (
            current.estimate.peak.bytes
            == estimate(
                replace(plan(), optimizer=replace(plan().optimizer, name="adamw")),
                arch,
                stack=stack_for("transformers"),
            ).peak.bytes
        )

    def test_full_training_has_no_quantized_ones(self):
        found = options(plan(adapter__method="none"), ARCHS["openai-community/gpt2"], stack_for("transformers"))
        assert {item.quantization for item in found} == {"16-bit"}


class TestAxes:
    def test_ranges_double(self):
        assert [(axis.name, axis.values) for axis in axes("seq=512..4096,batch=1..6")] == [
            ("seq", (512, 1024, 2048, 4096)),
            ("batch", (1, 2, 4, 6)),
        ]

    def test_values_can_be_listed(self):
        assert axes("seq=100,200")[0].values == (100, 200)

    @pytest.mark.parametrize(
        "text", ["", "512", "seq", "seq=0..4", "seq=8..4", "seq=a", "foo=1", "seq=1,batch=1,r=1", "seq=1..99999999999"]
    )
    def test_mistakes_are_named(self, text):
        with pytest.raises(ValueError, match=r".{8,}"):
            axes(text)


class TestKept:
    """What is kept between calls depends on every field that is read."""

    def test_the_frame_reads_no_field_that_its_key_leaves_out(self):
        text = Path(setup.__file__).read_text(encoding="utf-8")
        start, end = text.index("def _fields("), text.index("def _frame(")
        named = set(re.findall(r"\b(?:plan\.)?(\w+)\.(\w+)", text[start:end]))
        # Read for each call, outside the frame.
        named |= {("data", "max_length"), ("batch", "micro_batch_size"), ("batch", "gradient_accumulation_steps")}
        named |= {("distributed", "context_parallel"), ("distributed", "tensor_parallel")}
        read = set(re.findall(r"\bplan\.(\w+)\.(\w+)", text[end:]))
        read |= set(re.findall(r"\b(quantization)\.(\w+)", text[end:]))
        assert {item for item in read - named if item[0] != "adapter"} == set()


class TestSaid:
    arch = ARCHS["meta-llama/Llama-3.1-8B"]

    def test_sharding_over_an_unknown_number_of_gpus(self):
        run = replace(plan(), distributed=Distributed(strategy="fsdp"))
        assert any("--gpus" in text for text in estimate(run, self.arch).assumptions)

    def test_preferences_are_pairs(self):
        single, pair = estimate(plan(), self.arch), estimate(replace(plan(), method="dpo"), self.arch)
        assert dict(pair.symbols)["tokens"] == 2 * dict(single.symbols)["tokens"]

    def test_kto_trains_on_single_sequences(self):
        single, kto = estimate(plan(), self.arch), estimate(replace(plan(), method="kto"), self.arch)
        assert dict(kto.symbols)["tokens"] == dict(single.symbols)["tokens"]

    def test_reinforcement_learning_widens_the_range(self):
        found = estimate(replace(plan(), method="grpo"), self.arch)
        assert any("generation" in item.what for item in found.unknown)
        assert found.allocated.high > 1.5 * found.allocated.expected

    def test_evaluation_has_a_phase_where_it_is_configured(self):
        names = [phase.name for phase in estimate(plan(), self.arch).phases]
        assert "evaluation" not in names
        run = plan(run__eval_strategy="steps", batch__eval_batch_size=64)
        found = estimate(run, self.arch, stack=stack_for("transformers"))
        assert found.peak.name == "evaluation"

    def test_a_number_of_steps_alone_is_no_evaluation_where_the_strategy_says_none(self):
        run = plan(run__eval_strategy="no", run__eval_steps=500, batch__eval_batch_size=64)
        assert "evaluation" not in [phase.name for phase in estimate(run, self.arch).phases]
        assert "evaluation" in [phase.name for phase in estimate(plan(run__eval_steps=500), self.arch).phases]

    def test_experts_are_quantized_where_the_framework_does_so(self):
        arch, run = ARCHS["mistralai/Mixtral-8x7B-v0.1"], replace(plan(), quantization=INT8)
        plain, small = (estimate(run, arch, stack=stack_for("axolotl", quantizes_experts=on)) for on in (False, True))
        saved = of(plain, "optimizer", "base weights") - of(small, "optimizer", "base weights")
        assert saved == 32 * 8 * 3 * 4096 * 14336  # two bytes an element become one

    def test_nvfp4_checkpoints_hold_their_experts_in_four_bits(self):
        arch = ARCHS["mistralai/Mixtral-8x7B-v0.1"]
        plain = of(estimate(plan(), arch), "optimizer", "base weights")
        small = of(estimate(plan(), replace(arch, prequantized="nvfp4")), "optimizer", "base weights")
        assert small < plain / 3

    def test_experts_in_host_memory_take_none_of_the_gpu(self):
        arch = ARCHS["mistralai/Mixtral-8x7B-v0.1"]
        whole, rest = (estimate(plan(), arch, stack=stack_for("llamafactory", host_experts=on)) for on in (False, True))
        experts = 2 * 32 * 8 * 3 * 4096 * 14336
        assert of(whole, "optimizer", "base weights") - of(rest, "optimizer", "base weights") == experts
        assert any("KTransformers" in item.what for item in rest.unknown)

    def test_context_parallelism_divides_sequences(self):
        run = replace(plan(), distributed=Distributed(strategy="fsdp2", devices=4, context_parallel=2))
        assert dict(estimate(run, self.arch).symbols)["tokens"] == 1024

    def test_tensor_parallelism_divides_the_blocks_weights(self):
        run = replace(plan(), distributed=Distributed(devices=1, tensor_parallel=2))
        one = of(estimate(plan(), self.arch), "optimizer", "base weights")
        blocks = 2 * 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
        found = estimate(run, self.arch)
        assert of(found, "optimizer", "base weights") == one - blocks // 2
        assert any("tensor parallelism" in item.what for item in found.unknown)


def test_a_framework_without_known_facts_is_said_and_widens_the_range() -> None:
    arch = ARCHS["meta-llama/Llama-3.1-8B"]
    known, unknown = (estimate(plan(), arch, stack=stack_for(name)) for name in ("transformers", "ludwig"))
    assert "ludwig" in unknown.stack
    assert unknown.allocated.expected == known.allocated.expected
    assert unknown.allocated.high > known.allocated.high
    assert unknown.allocated.low < known.allocated.low


def test_loraplans_own_config_is_estimated_as_its_trainer_runs_it() -> None:
    assert stack_for("loraplan") == stack_for("trl")


@pytest.mark.parametrize(
    ("name", "dora", "width"),
    [("bigcode/starcoder2-3b", False, 4), ("google/gemma-2-9b", False, 2), ("google/gemma-2-9b", True, 4)],
)
def test_quantized_layers_under_autocast_return_what_they_are_given(name, dora, width):
    """A LayerNorm's fp32 and DoRA's magnitude in fp32 make the residual stream, which checkpoints keep, fp32."""
    arch = resolve(name, base_dir=".", online=False, problems=[])
    run = replace(plan(adapter__use_dora=dora), quantization=DOUBLE)
    kept = of(estimate(run, arch, stack=stack_for("ms-swift")), "forward", "checkpointed inputs")
    assert kept == pytest.approx(2 * 1024 * arch.hidden_size * arch.num_layers * width, rel=0.03)
