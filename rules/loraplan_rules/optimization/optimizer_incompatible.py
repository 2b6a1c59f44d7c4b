"""The optimizer cannot be used in this run.

## What it does
Reports an optimizer that the framework does not know (TRL, LLaMA-Factory, transformers' TrainingArguments, mlx-lm);
GaLore, APOLLO or BAdam with LoRA in LLaMA-Factory, and q_galore with an adapter in axolotl; axolotl's refusals for
8-bit optimizers under FSDP offload, FSDP2 and tensor parallelism, and for Muon with DeepSpeed or FSDP1; and a paged
8-bit AdamW in a quantized run under FSDP, as a warning.

## Why is this bad?
The run stops: an unknown name raises while the arguments are read, the combinations when the config is validated,
and the paged 8-bit optimizer under FSDP when the first checkpoint is saved, hours into the run.

## Example
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
optim: adamw_tourch
```

## Use instead
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
optim: adamw_torch_fused
```

## Options
None.

## Evidence
- transformers 5.23.0, `training_args.py`: OptimizerNames.
- axolotl 0.19.0, `utils/schemas/validation.py`: rules for 8-bit optimizers, Muon and q_galore.
- LLaMA-Factory 0.9.5, `hparams/finetuning_args.py`: LoRA with GaLore, APOLLO or BAdam is refused.
- mlx-lm 0.32.2, `lora.py`: unknown optimizers raise in mlx-lm.
- PEFT, `docs/source/accelerate/fsdp.md`@018ca9d6: saving fails with paged_adamw_8bit
  under FSDP.

## What it does not flag
Names in axolotl, which takes any text and asks transformers later, hand-rolled files, and names of optimizers that
older versions of transformers had (adamw_hf, adamw_apex_fused).

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.formats.spelling import nearest
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on

_KNOWN = frozenset(
    "adamw_torch adamw_torch_fused adamw_torch_xla adamw_torch_npu_fused adafactor adamw_anyprecision adamw_torch_4bit"
    " adamw_torch_8bit ademamix sgd adagrad adamw_bnb_8bit adamw_8bit ademamix_8bit lion_8bit lion_32bit"
    " paged_adamw_32bit paged_adamw_8bit paged_ademamix_32bit paged_ademamix_8bit paged_lion_32bit paged_lion_8bit"
    " rmsprop rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit galore_adamw galore_adamw_8bit galore_adafactor"
    " galore_adamw_layerwise galore_adamw_8bit_layerwise galore_adafactor_layerwise lomo adalomo grokadamw"
    " schedule_free_radam schedule_free_adamw schedule_free_sgd apollo_adamw apollo_adamw_layerwise stable_adamw"
    " adamw_hf adamw_apex_fused paged_adamw flash_adamw flash_adam flash_sgd flash_sgdw flash_lion muon".split()
)
_MLX = frozenset(("adam", "adamw", "muon", "sgd", "adafactor"))
_NAMED = frozenset(("trl", "hf-args", "llamafactory"))
_EIGHT = ("adamw_8bit", "adamw_bnb_8bit")


@rule(
    code="OPT001",
    name="optimizer-incompatible",
    severity="error",
    why="the framework refuses this optimizer, or fails while it saves",
    reads=(
        "optimizer.name",
        "adapter.method",
        "distributed.strategy",
        "distributed.offload",
        "distributed.tensor_parallel",
        "quantization.load_in_4bit",
    ),
    evidence=(
        Evidence(
            "OptimizerNames",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
        Evidence(
            "rules for 8-bit optimizers, Muon and q_galore",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "LoRA with GaLore, APOLLO or BAdam is refused",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/finetuning_args.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "unknown optimizers raise in mlx-lm",
            "https://github.com/ml-explore/mlx-lm/blob/main/mlx_lm/lora.py",
            "source read at 0.32.2",
        ),
        Evidence(
            "saving fails with paged_adamw_8bit under FSDP",
            "https://github.com/huggingface/peft/blob/main/docs/source/accelerate/fsdp.md",
            "docs",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    form, name = ctx.reading.format, (plan.optimizer.name or "").lower()
    lora = plan.adapter.method not in (None, "none")
    if form == "llamafactory" and plan.adapter.method == "lora":
        for key in ("use_galore", "use_apollo", "use_badam"):
            place = node(ctx, key)
            if place is not None and on(ctx, key):
                yield Finding(
                    f"{key} with LoRA: LLaMA-Factory refuses it, it is made for full training",
                    at=place.span,
                    remedy=f"remove {key}",
                )
    if not name or not ctx.explicit("optimizer.name"):
        return
    if form in _NAMED or form == "mlx-lm":
        known = _MLX if form == "mlx-lm" else _KNOWN
        if name not in known and name.isidentifier():
            near = nearest(name, known)
            yield Finding(
                f"{ctx.said('optimizer.name')} is no optimizer that {ctx.reading.framework} knows",
                at="optimizer.name",
                remedy=f"write {near}" if near else f"write one of {', '.join(sorted(known)[:6])}, ...",
            )
            return
    reason = _axolotl(plan, ctx, name, lora) if form == "axolotl" else None
    if reason is not None:
        yield Finding(reason[0], at="optimizer.name", remedy=reason[1])
    elif (
        name == "paged_adamw_8bit"
        and (plan.distributed.strategy or "").startswith("fsdp")
        and (plan.quantization.load_in_4bit or plan.quantization.bits == 4)
        and lora
        and ctx.explicit("distributed.fsdp")
    ):
        yield Finding(
            "paged_adamw_8bit with FSDP on a quantized base: saving a checkpoint fails",
            at="optimizer.name",
            remedy="write adamw_torch_fused",
            severity="warning",
        )


def _axolotl(plan: Plan, ctx: Context, name: str, lora: bool) -> tuple[str, str] | None:
    distributed = plan.distributed
    if name == "q_galore_adamw8bit" and lora:
        return "q_galore_adamw8bit with an adapter: axolotl refuses it", "write adamw_torch_fused"
    if name == "muon" and distributed.deepspeed:
        return "Muon with DeepSpeed: axolotl refuses it", "write adamw_torch_fused"
    if name == "muon" and distributed.fsdp and distributed.strategy == "fsdp":
        return "Muon with FSDP1: axolotl refuses it", "set fsdp_version to 2"
    if "8bit" not in name:
        return None
    if distributed.strategy == "fsdp" and distributed.offload and node(ctx, "fsdp_config") is not None:
        return f"{name} with FSDP offload: axolotl refuses it", "write adamw_torch_fused"
    if distributed.strategy == "fsdp2" and name in _EIGHT and node(ctx, "fsdp_config") is not None:
        return f"{name} with FSDP2: axolotl refuses it", "write adamw_torch_8bit"
    if (distributed.tensor_parallel or 1) > 1 and name in (*_EIGHT, "paged_adamw_8bit"):
        return f"{name} with tensor parallelism: axolotl refuses it", "write adamw_torch_fused"
    return None
