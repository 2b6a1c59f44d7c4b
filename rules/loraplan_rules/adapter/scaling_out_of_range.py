"""The factor on the LoRA update is far from what anyone trains with.

## What it does
Flags `alpha/r` below 0.25 or above 4. In the preview set it also mentions, at info, a factor outside 1 to 2.
Where the format gives the factor itself (mlx-lm `scale`, mistral-finetune `scaling`), that number is judged, and only
when it is below 0.25 or above 20, mlx-lm's own default.

## Why is this bad?
PEFT multiplies the update by `alpha/r`. With Adam this factor and the learning rate are one knob: in a run of a small
random Llama (peft 0.21.2), learning rate times alpha held constant gave the same first update (norm 0.01361) and the
same loss within 0.5 % over a 20-fold range of alpha. So a factor of 0.06 is a learning rate 16 to 32 times below the
one that is written, and the run looks healthy while it learns almost nothing.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 8
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
gradient_checkpointing: true
```

## Use instead
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 128
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
gradient_checkpointing: true
```

## Options
- `min` (0.25) and `max` (4): the range, both ends allowed.
- `max-given` (20): the upper end where the format gives the factor itself.

## Evidence
- For `alpha = 2r`: Biderman et al. 2024 (arXiv 2405.09673v2) use it in their main runs (section 4.1) and find it best
  at r = 256 (appendix B.2); 2410.21228 reports fewer intruder dimensions with it (read in quotation).
- Against any fixed ratio: the LoRA paper sets alpha to the first r tried and leaves it (section 4.1, read in
  quotation); QLoRA keeps 16 at r = 64 (0.25; its published models' cards); Thinking Machines keep 32 for
  every rank from 1 to 512 and could not improve on it; TRL reproduces that with r = 256 and alpha 16
  (`docs/source/lora_without_regret.md`@01892a27). The range is therefore wide, and that recipe is an info.
- Of 466 public configs without rsLoRA none was outside 0.25 to 4 once framework defaults were filled in.

## What it does not flag
- rsLoRA, whose factor is another (ALP003), and alpha of zero or below (ALP004).
- The constant-alpha recipe (alpha 16 or 32, r of 64 or more, the MLP layers adapted, learning rate of 1e-4 or more) and
  reinforcement learning with r of 8 or below: both are published settings, so only an info.
- An adapter that is trained already: only an info, and no fix, since alpha must stay what it was.
- `rank_pattern` and `alpha_pattern`: only the factor that holds elsewhere is judged.

## Fix safety
Unsafe: alpha = 2r changes the size of every step. If the factor is meant, keep it and write
`# loraplan: ignore[ALP001]` behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import constant_alpha, covered, finite, is_lora, low_rank_rl, number, scaling, short
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="ALP001",
    name="scaling-out-of-range",
    severity="warning",
    why="alpha/r multiplies the update, so with Adam an odd factor is a learning rate in disguise",
    reads=("adapter.r", "adapter.alpha", "adapter.scaling", "adapter.use_rslora", "optimizer.learning_rate"),
    evidence=(
        Evidence(
            "scaling = lora_alpha / r",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2",
        ),
        Evidence("alpha = 2r in the main runs, best at r = 256", "https://arxiv.org/abs/2405.09673", "paper read"),
        Evidence("against a fixed ratio: alpha 16 at r 64", "https://arxiv.org/abs/2305.14314", "paper"),
        Evidence(
            "against a fixed ratio: alpha 32 at any rank", "https://thinkingmachines.ai/blog/lora/", "article read"
        ),
    ),
    options={"min": 0.25, "max": 4.0, "max-given": 20.0},
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    factor = scaling(plan)
    if factor is None or factor <= 0 or not is_lora(plan):
        return
    if plan.adapter.scaling is not None:
        if ctx.explicit("adapter.scaling") and not ctx.options.min <= factor <= ctx.options.max_given:
            yield Finding(
                f"{ctx.said('adapter.scaling')}: the update is multiplied by {short(factor)}",
                at="adapter.scaling",
                remedy=f"set {ctx.key('adapter.scaling')} to about 2, or scale the learning rate to match",
            )
        return
    if plan.adapter.use_rslora:
        return
    r, alpha = finite(plan.adapter.r), finite(plan.adapter.alpha)
    assert r is not None
    assert alpha is not None
    key, wanted = ctx.key("adapter.alpha"), number(2 * r)
    at = "adapter.alpha" if ctx.explicit("adapter.alpha") else "adapter.r"
    message = f"alpha/r = {short(factor)} ({ctx.said('adapter.r')}, {ctx.said('adapter.alpha')})"
    done = trained(ctx.reading)
    fix = Fix(f"set {key} to {wanted}", (Set("adapter.alpha", 2 * r),), "unsafe") if r.is_integer() else None
    if done:
        fix = None
    if ctx.options.min * (1 - 1e-9) <= factor <= ctx.options.max * (1 + 1e-9):
        if not 1 <= factor <= 2 and not done:
            yield Finding(
                f"{message}: outside the customary 1 to 2",
                at=at,
                severity="info",
                preview=True,
                remedy=f"set {key} to {wanted} if the learning rate was chosen for alpha = 2r",
                fix=fix,
            )
        return
    exempt = done or low_rank_rl(plan) or constant_alpha(plan, covered(plan, ctx))
    yield Finding(
        f"{message}: the update is multiplied by {short(factor)}",
        at=at,
        severity="info" if exempt else None,
        remedy="" if done else f"set {key} to {wanted} (alpha = 2r), or scale the learning rate to match",
        fix=fix,
    )
