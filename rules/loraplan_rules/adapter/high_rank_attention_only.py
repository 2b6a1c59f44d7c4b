"""A high rank on the attention layers alone.

## What it does
Flags a rank of 32 or more where no MLP layer is adapted.

## Why is this bad?
The parameters are spent where they help least. At equal size, attention-only LoRA with r = 256 did worse than MLP-only
LoRA with r = 128. For Llama-3.1-8B, attention at r = 64 has 54.5 million parameters and all linear layers at r = 16
have 41.9 million.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 128
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
- `rank` (32): the least rank that is flagged.

## Evidence
- Thinking Machines, LoRA Without Regret: attention-only against MLP-only, also on mixtures of experts and in RL.
- QLoRA section 4 and figure 2: adapters on all linear layers are required to match full fine-tuning.
- LoRA section 7.1; Biderman et al. 2024, figure 7: attention alone is below MLP and all modules at every rank.
- Against: litgpt's own configs train query and value at r = 32, so below 64 that is an info in litgpt files.

## What it does not flag
- Classification, where attention-only LoRA is customary, speech models (Unsloth Studio's `audio_type`; the evidence is
  of text), and an adapter that is trained already: an info.
- Absent targets where a script fills them in itself (LLaVA's and QLoRA's look for all linear layers).
- Models whose MLP is experts fused into parameters, which no target reaches.
- Targets that are not known: a regular expression, or PEFT's table for a model whose architecture is unknown.

## Fix safety
Unsafe: it adapts all linear layers at r = 16, which changes what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import covered, family, finite, is_lora, listed
from loraplan.formats.targets import adapted, parameters, takes_all_linear, trained, widen
from loraplan.plan import Plan
from loraplan.rule import Change, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.keys import entry


@rule(
    code="RNK005",
    name="high-rank-attention-only",
    severity="warning",
    why="at equal size the MLP layers gain more than attention does, so rank spent here is mostly wasted",
    reads=("adapter.r", "adapter.target_modules", "model.name"),
    evidence=(
        Evidence(
            "attention-only r = 256 below MLP-only r = 128 at equal size",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence("all linear layers needed, r without effect", "https://arxiv.org/abs/2305.14314", "paper, section 4"),
        Evidence(
            "against: q and v at r = 32",
            "https://github.com/Lightning-AI/litgpt/tree/main/config_hub/finetune",
            "litgpt 2685705",
        ),
    ),
    options={"rank": 32},
    suppresses=("TGT004",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    r = finite(plan.adapter.r)
    if not is_lora(plan) or r is None or r < ctx.options.rank or covered(plan, ctx) not in ("qk", "attention"):
        return
    names = adapted(plan, ctx)
    message = f"{ctx.said('adapter.r')} on attention alone" + (f" ({listed(names)})" if names else "")
    now, instead = parameters(plan, ctx, r, everywhere=False), parameters(plan, ctx, 16, everywhere=True)
    if now and instead:
        message += f": {now:,} parameters, where all linear layers at r 16 have {instead:,}"
    else:
        message += ": the MLP layers, which gain most, stay frozen"
    done = trained(ctx.reading)
    shipped = ctx.reading.format == "litgpt" and r < 64
    speech = ctx.reading.format == "unsloth" and entry(ctx.reading, "audio_type") is not None
    key = ctx.key("adapter.r")
    changes: tuple[Change, ...] = (Set("adapter.target_modules", "all-linear"), Set("adapter.r", 16))
    alpha = finite(plan.adapter.alpha)
    if ctx.explicit("adapter.alpha") and alpha and not plan.adapter.use_rslora and (alpha * 16 / r).is_integer():
        changes += (Set("adapter.alpha", int(alpha * 16 / r)),)
    yield Finding(
        message,
        at="adapter.r" if ctx.explicit("adapter.r") else "adapter.target_modules",
        severity="info" if done or shipped or speech or family(plan) == "classification" else None,
        remedy="" if done else f"{widen(ctx.reading)}, with {key} at 16",
        fix=Fix(f"adapt all linear layers at {key} 16", changes, "unsafe")
        if takes_all_linear(ctx.reading) and not done
        else None,
    )
