"""Experts are adapted as parameters with a setting that this does not allow.

## What it does
With the model's architecture known, flags adapted expert parameters (named in `target_parameters`, or names that PEFT
converts with transformers 5) together with LoRA dropout, DoRA, `lora_bias` or `fan_in_fan_out`, and `gate_proj` without
`up_proj` where the two are fused.

## Why is this bad?
PEFT stops: "lora.ParamWrapper does not work with lora_dropout != 0", and the same for the others; or "Cannot convert
PEFT target(s) gate_proj without also targeting up_proj". TRL's command line has a dropout of 0.05 by default.

## Example
```yaml config.yml transformers=5.23.0
model_name_or_path: Qwen/Qwen3-30B-A3B
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Use instead
```yaml config.yml transformers=5.23.0
model_name_or_path: Qwen/Qwen3-30B-A3B
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
lora_dropout: 0.0
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/layer.py` `ParamWrapper`; run on tiny Mixtral and Qwen3-MoE models with transformers 5.23.0.

## What it does not flag
- Names that are converted with transformers 5 only: an info while the version of transformers is unknown, nothing with
  version 4.
- Frameworks with LoRA layers of their own, Unsloth, and models whose architecture is unknown.

## Fix safety
Safe for the dropout, since nothing runs with it; otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora, listed
from loraplan.formats.targets import judgeable
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, Severity, rule
from loraplan_rules import experts


@rule(
    code="TGT012",
    name="moe-expert-config-invalid",
    severity="error",
    why="peft adapts parameters without dropout, DoRA, lora_bias and fan_in_fan_out, and fused ones only together",
    reads=("adapter.target_modules", "adapter.target_parameters", "adapter.dropout", "adapter.use_dora", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "lora.ParamWrapper does not work with lora_dropout != 0",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or not judgeable(plan, reading) or reading.format == "unsloth":
        return
    settings = {
        "adapter.dropout": bool(adapter.dropout and adapter.dropout > 0),
        "adapter.use_dora": bool(adapter.use_dora),
        "adapter.lora_bias": bool(adapter.lora_bias),
        "adapter.fan_in_fan_out": bool(adapter.fan_in_fan_out),
    }
    arch = ctx.arch
    if not experts.parameters(arch):
        return
    fused, matched = experts.fused(ctx), experts.selected(plan, ctx)
    by_name = bool(adapter.target_parameters)
    if fused is False and not by_name:
        return
    severity: Severity | None = None if fused or by_name else "info"
    when = "" if fused or by_name else " with transformers 5"
    if matched.problem and matched.converted:
        yield Finding(
            f"{matched.problem}: peft stops{when}",
            at="adapter.target_modules",
            severity=severity,
            remedy="name both, or neither",
        )
        return
    adapted = tuple(m for m in matched.modules if m.kind == "Parameter")
    if not adapted:
        return
    for field, on in settings.items():
        if not on or (field == "adapter.use_dora" and by_name):
            continue
        key = ctx.key(field)
        off = 0.0 if field == "adapter.dropout" else False
        yield Finding(
            f"{ctx.said(field)} with {listed(experts.short_names(adapted))} adapted as parameters: peft stops{when}",
            at=field,
            severity=severity,
            remedy=f"set {key} to {'0' if field == 'adapter.dropout' else 'false'}",
            fix=Fix(f"set {key} to 0", (Set(field, off),), "safe") if field == "adapter.dropout" else None,
        )
