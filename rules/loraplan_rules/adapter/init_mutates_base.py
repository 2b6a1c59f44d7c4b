"""The initialisation changes the base model's weights.

## What it does
Mentions PiSSA, OLoRA, CorDA and LoRA-GA, as an info; as a warning where the method needs the base as its reference
model (DPO, KTO, PPO, GRPO), and as an error where the framework stops (PiSSA and CorDA on a base that is quantized when
it is loaded; LLaMA-Factory's `pissa_init` with PPO, KTO, DPO with a reference model, ZeRO-3 or quantization). Also
`init_lora_weights: false`, which is made for debugging.

## Why is this bad?
These methods move a part of the weights into the adapter and leave the rest in the base. The saved adapter is valid on
that changed base only, unless it is converted when it is saved (`path_initial_model_for_weight_conversion`); and the
model without the adapter, which TRL takes for the reference model, is no longer the one that was published. With
`false` the adapter does not start at zero: the model is changed before the first step.

## Example
```yaml
model_name_or_path: Qwen/Qwen3-8B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
quantization_bit: 4
pissa_init: true
dataset: identity
template: qwen3
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
model_name_or_path: Qwen/Qwen3-8B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
quantization_bit: 4
dataset: identity
template: qwen3
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
- peft 0.21.2 `tuners/lora/layer.py`: PiSSA and CorDA raise on weights that are not float32, float16 or bfloat16; OLoRA
  dequantizes bitsandbytes weights; `tuners/lora/config.py` on `init_lora_weights`.
- LLaMA-Factory 0.9.5 `hparams/finetuning_args.py` and `hparams/parser.py`: the errors.

## What it does not flag
- Plain fine-tuning, where whoever writes the initialisation means it (ludwig's own examples do): an info.
- EVA, orthogonal, gaussian and LoftQ, which leave the base alone (LoftQ: see VAR005); formats that keep track of the
  conversion themselves (LLaMA-Factory's `pissa_convert`).
- An adapter that is trained already: an info.

## Fix safety
No fix: the initialisation may be what the run is about.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import family, is_lora
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Severity, rule
from loraplan_rules.keys import entry

_MUTATING = ("pissa", "olora", "corda", "lora_ga", "lora-ga")
_FLOAT_ONLY = ("pissa", "corda")
_NO_REFERENCE = frozenset(("ppo", "kto", "dpo"))


@rule(
    code="VAR004",
    name="init-mutates-base",
    severity="warning",
    why="the saved adapter fits the changed base only, not the published one",
    reads=(
        "adapter.init",
        "quantization.bits",
        "method",
        "distributed.strategy",
    ),
    evidence=(
        Evidence(
            "initialize under float32, float16 or bfloat16",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2",
        ),
        Evidence(
            "only without a reference model",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/finetuning_args.py",
            "source read at 0.9.5",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    init, reading = (plan.adapter.init or "").lower(), ctx.reading
    if not init or not is_lora(plan) or not made_by_peft(reading):
        return
    severity: Severity | None = "info" if trained(reading) else None
    if init == "false":
        if ctx.explicit("adapter.init"):
            yield Finding(
                f"{ctx.said('adapter.init')}: the adapter does not start at zero, and changes the model at once",
                at="adapter.init",
                severity=severity,
                why="peft means this for debugging",
                remedy=f"set {ctx.key('adapter.init')} to true",
            )
        return
    if not init.startswith(_MUTATING):
        return
    if entry(reading, "pissa_convert") and not _stops(plan, ctx, init):
        return
    stops = None if severity == "info" else _stops(plan, ctx, init)
    message = f"{ctx.said('adapter.init')}{stops or ' changes the weights of the base'}"
    if not stops and severity is None:
        if family(plan) in ("preference", "rl"):
            message += f", which {plan.method} takes for its reference model"
        else:
            severity = "info"
    yield Finding(
        message,
        at="adapter.init",
        severity="error" if stops else severity,
        remedy="load the base in 16 bits, or leave the initialisation out"
        if stops
        else "convert the adapter when saving it (path_initial_model_for_weight_conversion)",
    )


def _stops(plan: Plan, ctx: Context, init: str) -> str | None:
    """Why nothing runs, or None."""
    bits = plan.quantization.bits
    if init.startswith(_FLOAT_ONLY) and bits in (4, 8) and ctx.reading.format != "unsloth":
        return f" on a base loaded in {bits:g} bits: it needs 16 or 32"
    if ctx.reading.format != "llamafactory":
        return None
    if plan.method in _NO_REFERENCE:
        return f" with {plan.method}: LLaMA-Factory stops, since the base is the reference model"
    if plan.distributed.strategy == "zero3":
        return " with ZeRO-3: LLaMA-Factory stops"
    return None
