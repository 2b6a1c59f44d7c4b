"""No targets are given, and PEFT has no default for this architecture.

## What it does
With the model's architecture known, flags absent `target_modules` where PEFT's table of default targets has no entry
for the model type. In axolotl, which passes an empty list, absent targets are flagged for every model.

## Why is this bad?
PEFT stops with "Please specify `target_modules`" after the model has been loaded.

## Example
```yaml
model_name_or_path: microsoft/Phi-3-mini-4k-instruct
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Use instead
```yaml
model_name_or_path: microsoft/Phi-3-mini-4k-instruct
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Options
No options.

## Evidence
- peft 0.21.2 `utils/constants.py` TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING; phi3, qwen2_moe, gpt_oss and
  multimodal Gemma 3 are not in it.
- With transformers 5 the entries of the families that PEFT converts (Mixtral, Qwen3-MoE) are not reached (run).
- axolotl 0.19.0 `loaders/adapter.py`: `cfg.lora_target_modules or []`; PEFT raises on an empty list (run).

## What it does not flag
- The families that PEFT converts: an info while the version of transformers is unknown.
- Frameworks that fill in targets themselves; targets known only at run time; hand-rolled files; models whose
  architecture is unknown (axolotl apart).

## Fix safety
Unsafe: all linear layers are adapted.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.convert import default_targets
from loraplan.derived import is_lora
from loraplan.formats.targets import TABLE_TARGETS, takes_all_linear, widen
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, Severity, rule
from loraplan_rules.experts import fused


@rule(
    code="TGT014",
    name="no-default-targets",
    severity="error",
    why="without an entry in its table peft asks for target_modules and stops",
    reads=("adapter.target_modules", "adapter.target_parameters", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "default targets by model type",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/constants.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "lora_target_modules or []",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/loaders/adapter.py",
            "axolotl 0.19.0",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if adapter.method != "lora" or not is_lora(plan) or adapter.target_modules is not None or adapter.target_parameters:
        return
    key, path = ctx.key("adapter.target_modules"), ctx.key("adapter.target_modules").rpartition(".")[2]
    if path in reading.document.text or any(issue.field == "adapter.target_modules" for issue in reading.value_issues):
        return  # written, with a value that is known only at run time
    fix = None
    if takes_all_linear(reading):
        fix = Fix(f"set {key} to all-linear", (Set("adapter.target_modules", "all-linear"),), "unsafe")
    if reading.format == "axolotl":
        text = reading.document.text
        if adapter.resume_from or "lora_target" in text or "plugins" in text:
            return
        yield Finding(
            "axolotl has no default targets, and peft stops on an empty list",
            at="adapter.target_modules",
            remedy=widen(reading),
        )
        return
    if reading.format not in TABLE_TARGETS or not ctx.matched.no_default:
        return
    severity: Severity | None = None
    if default_targets(ctx.arch.model_type) is not None and not fused(ctx):
        if fused(ctx) is False:
            return
        severity = "info"
    yield Finding(
        f"{key} is not set, and peft has no default for {ctx.arch.model_type}"
        + (" with transformers 5" if severity else ""),
        at="adapter.target_modules",
        severity=severity,
        remedy=widen(reading),
        fix=fix,
    )
