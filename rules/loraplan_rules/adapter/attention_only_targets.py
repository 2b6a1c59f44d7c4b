"""Only the attention layers are adapted.

## What it does
Mentions, at info, that no MLP layer is adapted and the rank is below 32 (from there on it is RNK005).

## Why is this bad?
Adapting all linear layers, the MLP above all, is the best-evidenced improvement to a LoRA run. QLoRA needed it to match
full fine-tuning; at equal size MLP-only LoRA (r = 128) beat attention-only (r = 256). For Llama-3.1-8B at r = 16 it is
41.9 million parameters in place of 6.8 million: 0.3 GiB of optimizer state.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules:
  - q_proj
  - v_proj
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Use instead
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
No options.

## Evidence
- QLoRA section 4 and figure 2; Thinking Machines, LoRA Without Regret (MLP alone is as good as all layers); Biderman et
  al. 2024, figure 7 (most of the gain comes from the MLP).
- Against: the LoRA paper adapted attention only, and PEFT's table and litgpt still do, so this is never more than an
  info.

## What it does not flag
- Classification, where attention-only LoRA is customary; an adapter that is trained already.
- Absent targets where a script fills them in itself (LLaVA's and QLoRA's look for all linear layers).
- Models whose MLP is experts fused into parameters, which no target reaches.
- Targets that are not known without the architecture: then the rule is skipped, and says so.

## Fix safety
Unsafe: it adapts all linear layers, which changes what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import covered, family, is_lora, listed
from loraplan.formats.targets import adapted, judgeable, parameters, takes_all_linear, trained, widen
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="TGT004",
    name="attention-only-targets",
    severity="info",
    why="adapting the MLP layers too is the best-evidenced improvement to a LoRA run",
    reads=("adapter.target_modules", "adapter.r", "model.name", "method"),
    evidence=(
        Evidence("all linear layers needed", "https://arxiv.org/abs/2305.14314", "paper, section 4"),
        Evidence(
            "MLP-only beats attention-only at equal size", "https://thinkingmachines.ai/blog/lora/", "article read"
        ),
        Evidence("attention below MLP and all modules", "https://arxiv.org/abs/2405.09673", "paper, figure 7"),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or family(plan) == "classification" or trained(reading):
        return
    reach = covered(plan, ctx)
    if reach == "unknown" and adapter.method == "lora" and judgeable(plan, reading) and not reading.hand_rolled:
        ctx.arch  # noqa: B018 -- raises Skip: what the targets reach depends on the architecture
    if reach != "attention":
        return
    names = adapted(plan, ctx)
    message = "only attention is adapted" + (f" ({listed(names)}" if names else " (")
    default = reading.default("adapter.target_modules")
    if default is not None or adapter.target_modules is None:
        message += f", {default.framework if default else 'peft'}'s default"
    message = message.replace("(, ", "(") + ")"
    r = adapter.r
    if r is not None and (many := parameters(plan, ctx, r, everywhere=True)):
        message += f"; all linear layers would be {many:,} parameters"
        if few := parameters(plan, ctx, r, everywhere=False):
            message += f" instead of {few:,}"
    yield Finding(
        message.replace(" ()", ""),
        at="adapter.target_modules",
        remedy=widen(reading),
        fix=Fix(widen(reading), (Set("adapter.target_modules", "all-linear"),), "unsafe")
        if takes_all_linear(reading)
        else None,
    )
