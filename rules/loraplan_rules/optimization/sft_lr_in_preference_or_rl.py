"""Preference tuning or reinforcement learning runs with the learning rate of supervised fine-tuning.

## What it does
Reports DPO, KTO, ORPO and their kin above 5e-4 (a note above 5e-5), and PPO, GRPO, RLOO and their kin above 1e-4.

## Why is this bad?
The update follows a noisy preference or reward signal, and nothing but the step size and a small KL term holds the
policy to its start. TRL's values with LoRA are 5e-6 for DPO and 1e-5 for GRPO, forty and twenty times below the usual
2e-4 of supervised LoRA.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 8.0e-4
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Use instead
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Options
- `preference` (5e-4): above this, a warning for preference methods.
- `preference-note` (5e-5): above this, a note for preference methods.
- `rl` (1e-4): above this, a warning for reinforcement learning.

## Evidence
- TRL, `docs/source/peft_integration.md`@067322f8: 5e-6 for DPO, 1e-5 for GRPO; `lora_without_regret.md`@01892a27 has
  5e-5 and 1e-5 for GRPO.
- Unsloth's guide to LoRA hyperparameters: 5e-6 for DPO and GRPO.
- Against a lower warning: of 36 public preference configs in frameworks' own repositories 11 are above 5e-5 (Firefly
  and axolotl use 2e-4 for DPO), hence a note there; torchtune's DPO recipes use 5e-4
  (`recipes/configs/llama3_1/8B_lora_dpo.yaml`@0.6.1), the end of that range.

## What it does not flag
Reward models, which are classifiers, on-policy distillation (GKD), whose signal is dense, and optimizers on another
scale.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

from loraplan.derived import family, finite, number
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import adam_like

_DENSE = frozenset(("gkd", "ebft"))


@rule(
    code="LRS003",
    name="sft-lr-in-preference-or-rl",
    severity="warning",
    why="preference and reward signals are noisy; LoRA rates there are ten to forty times lower than in SFT",
    reads=("method", "optimizer.learning_rate", "optimizer.name"),
    evidence=(Evidence("5e-6 for DPO, 1e-5 for GRPO", "https://huggingface.co/docs/trl/peft_integration", "docs"),),
    options={"preference": 5e-4, "preference-note": 5e-5, "rl": 1e-4},
)
def check(plan: Plan, ctx: Context) -> Checked:
    rate = finite(plan.optimizer.learning_rate)
    kind = family(plan)
    method = (plan.method or "").lower()
    if rate is None or kind not in ("preference", "rl") or method in _DENSE or not adam_like(plan):
        return
    options = ctx.options
    limit = options.preference_note if kind == "preference" else options.rl
    if not rate > limit * (1 + 1e-9):
        return
    usual = 5e-6 if kind == "preference" else 1e-5
    note = kind == "preference" and not rate > options.preference * (1 + 1e-9)
    key = ctx.key("optimizer.learning_rate")
    yield Finding(
        f"{ctx.said('optimizer.learning_rate')} with {method}: a rate of supervised fine-tuning,"
        f" about {round(rate / usual)} times the usual {number(usual)}",
        at="optimizer.learning_rate",
        remedy=f"set {key} to {number(usual)}",
        severity="info" if note else None,
        fix=Fix(f"set {key} to {number(usual)}", (Set("optimizer.learning_rate", usual),), "unsafe"),
    )
