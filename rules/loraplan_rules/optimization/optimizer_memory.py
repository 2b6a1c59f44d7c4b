"""The optimizer's choice hardly matters, or matters much, for memory.

## What it does
Notes a 32-bit Adam whose state takes a twentieth of the predicted memory or more, with what an 8-bit one would save;
and an 8-bit one that saves less than 0.1 GiB.

## Why is this bad?
Adam keeps two numbers for each trained parameter: 8 bytes in fp32, 2 in 8-bit. For full fine-tuning and for high ranks
that is much; for a small adapter it is nothing, and the 8-bit state is rounded for no gain.

## Example
```yaml qlora.yml preview
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 64
lora_alpha: 128
lora_target_linear: true
load_in_4bit: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
warmup_ratio: 0.05
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: true
```

## Use instead
```yaml qlora.yml preview
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 64
lora_alpha: 128
lora_target_linear: true
load_in_4bit: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: paged_adamw_8bit
lr_scheduler: cosine
warmup_ratio: 0.05
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: true
```

## Options
- `share` (0.05): the share of the predicted memory. `least` (0.1): GiB below which an 8-bit state is not worth it.

## Evidence
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).
- bitsandbytes 0.50 `optim/optimizer.py`: a byte for each moment and one fp32 for each block of 256.

## What it does not flag
Optimizers other than Adam; models whose architecture is unknown.

## Fix safety
None is offered: it is a note.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="OPT004",
    name="optimizer-memory",
    severity="info",
    why="Adam keeps two numbers for each trained parameter",
    reads=("optimizer.name", "adapter.r", "quantization.bits"),
    evidence=(
        Evidence(
            "block-wise 8-bit state",
            "https://github.com/bitsandbytes-foundation/bitsandbytes/blob/main/bitsandbytes/optim/optimizer.py",
            "source read at bitsandbytes 0.50.0",
        ),
    ),
    needs=("arch",),
    preview=True,
    options={"share": 0.05, "least": 0.1},
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    name = (plan.optimizer.name or "").lower()
    if "adam" not in name or plan.optimizer.name is None:
        return
    found = ctx.estimate
    from loraplan_rules.planned import size

    trained = int(dict(found.symbols)["trained"]) // max(found.gpus, 1)
    state = sum(term.bytes for term in found.phases[-1].terms if term.name == "optimizer state")
    small = int(trained * (2 + 8 / 256))
    if "8" not in name and state - small >= ctx.options.share * found.peak.bytes:
        yield Finding(
            f"{ctx.said('optimizer.name')} keeps {size(state)} of state, {state * 100 // found.peak.bytes} % of the"
            " predicted peak;"
            f" an 8-bit Adam keeps {size(small)}",
            at="optimizer.name",
            remedy=f"set {ctx.key('optimizer.name')} to an 8-bit or paged 8-bit AdamW where memory is short",
        )
    elif "8" in name and trained * 8 - small < ctx.options.least * (1 << 30) and ctx.explicit("optimizer.name"):
        yield Finding(
            f"{ctx.said('optimizer.name')} saves only {size(trained * 8 - small)} here",
            at="optimizer.name",
            remedy=f"a 32-bit AdamW costs as good as nothing with {trained:,} trained parameters",
        )
