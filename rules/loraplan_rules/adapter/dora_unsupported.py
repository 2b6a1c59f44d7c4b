"""DoRA is combined with what it does not work with.

## What it does
Flags DoRA with `target_parameters`, with a Megatron configuration, or on a base quantized by GPTQ, AWQ, AQLM or EETQ,
as errors; DoRA on a 4-bit base with DeepSpeed ZeRO-2, and on an 8-bit base with FSDP, as warnings.

## Why is this bad?
PEFT stops (LLaMA-Factory before it): its layers for parameters and for these quantizations have no DoRA. PEFT's
documentation names ZeRO-2 and FSDP as combinations with known trouble.

## Example
```yaml
model_name_or_path: Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
use_dora: true
dataset: identity
template: qwen
cutoff_len: 2048
output_dir: saves/out
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
```

## Use instead
```yaml
model_name_or_path: Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
use_dora: false
dataset: identity
template: qwen
cutoff_len: 2048
output_dir: saves/out
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
```

## Options
No options.

## Evidence
- peft 0.21.2: `ParamWrapper` (run), `tuners/lora/config.py` for Megatron, and `gptq.py`, `awq.py`, `aqlm.py`,
  `eetq.py`: "does not support DoRA yet".
- LLaMA-Factory 0.9.5 `model/adapter.py`: "DoRA is not compatible with PTQ-quantized models".
- PEFT, `docs/source/developer_guides/lora.md`@00336949, caveats of DoRA: embedding, linear and Conv2d layers only.

## What it does not flag
- bitsandbytes and HQQ, which PEFT supports; `lora_bias` (BIA003); experts that PEFT turns into parameters itself
  (TGT012).

## Fix safety
No fix: plain LoRA trains something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule
from loraplan_rules.keys import entry

_WITHOUT = frozenset(("gptq", "awq", "aqlm", "eetq"))


@rule(
    code="VAR003",
    name="dora-unsupported",
    severity="error",
    why="peft has no DoRA for these layers",
    reads=(
        "adapter.use_dora",
        "adapter.target_parameters",
        "quantization.method",
        "quantization.bits",
        "distributed.strategy",
        "model.name",
    ),
    evidence=(
        Evidence(
            "does not support DoRA yet",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/gptq.py",
            "peft 0.21.2",
        ),
        Evidence(
            "not compatible with PTQ-quantized models",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/model/adapter.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "caveats",
            "https://huggingface.co/docs/peft/developer_guides/lora",
            "documentation",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not adapter.use_dora or not is_lora(plan) or not made_by_peft(reading) or trained(reading):
        return
    off = f"set {ctx.key('adapter.use_dora')} to false"
    if adapter.target_parameters:
        yield Finding(
            f"DoRA with {ctx.said('adapter.target_parameters')}: peft stops", at="adapter.use_dora", remedy=off
        )
    if entry(reading, "megatron_config"):
        yield Finding("DoRA with megatron_config: peft stops", at="adapter.use_dora", remedy=off)
    stored = _stored(plan, ctx)
    if stored is not None:
        yield Finding(f"DoRA on a base quantized by {stored.upper()}: peft stops", at="adapter.use_dora", remedy=off)
    bits, strategy = plan.quantization.bits, plan.distributed.strategy or ""
    risky = ("DeepSpeed ZeRO-2" if bits == 4 and strategy == "zero2" else None) or (
        "FSDP" if bits == 8 and strategy.startswith("fsdp") else None
    )
    if risky and stored is None:
        yield Finding(
            f"DoRA on a {bits:g}-bit base with {risky}: peft's documentation warns of it",
            at="adapter.use_dora",
            severity="warning",
            why="the combination has known trouble",
            remedy=off,
        )


def _stored(plan: Plan, ctx: Context) -> str | None:
    """How the base is quantized, where PEFT has no DoRA for it."""
    method = (plan.quantization.method or "").lower()
    if method in _WITHOUT:
        return method
    arch = ctx.arch_or_none
    if arch is not None and arch.prequantized in _WITHOUT:
        return arch.prequantized
    words = set((plan.model.name or "").lower().replace("_", "-").split("-"))
    return next((name for name in ("gptq", "awq", "aqlm") if name in words), None)
