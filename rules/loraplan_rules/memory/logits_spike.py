"""The logits are the largest part of memory.

## What it does
Notes a loss that has all logits at once, where they take more than a fifth of the predicted memory and the stack
has a loss that does without them.

## Why is this bad?
The logits have the vocabulary's width: a token of Llama 3 costs 12 to 14 bytes for each of 128,256 entries while the
loss is computed. Losses in chunks never have them all.

## Example
```yaml qlora.yml preview
base_model: meta-llama/Llama-3.1-8B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 4
gradient_accumulation_steps: 2
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
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
plugins:
  - axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin
cut_cross_entropy: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 4
gradient_accumulation_steps: 2
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
warmup_ratio: 0.05
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: true
```

## Options
- `share` (0.2): the share of the predicted memory.

## Evidence
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).
- transformers 5.23.0 `loss/loss_utils.py` ForCausalLMLoss: logits upcast to fp32.
- trl 1.16.0 `trainer/utils.py` ChunkedLogProbFunction: a fixed workspace instead.

## What it does not flag
Stacks whose loss is in chunks already: TRL since 1.7, unsloth, torchtune, Liger.

## Fix safety
None is offered: the loss comes with a package that must be installed.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

_WHOLE = ("shift", "replace", "pad", "own")
_REMEDY = {
    "axolotl": "load axolotl's CutCrossEntropyPlugin or LigerPlugin",
    "llamafactory": "set enable_liger_kernel to true",
    "trl": "set use_liger_kernel to true, or take trl 1.7 or later",
}


@rule(
    code="MEM005",
    name="logits-spike",
    severity="info",
    why="all logits exist at once, in fp32, while the loss is computed",
    reads=("precision.fused_loss", "batch.micro_batch_size", "data.max_length"),
    evidence=(
        Evidence(
            "ForCausalLMLoss",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/loss/loss_utils.py",
            "source read at transformers 5.23.0",
        ),
    ),
    needs=("arch",),
    preview=True,
    options={"share": 0.2},
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    found = ctx.estimate
    from loraplan_rules.planned import size, stack

    if stack(ctx).loss not in _WHOLE or plan.precision.fused_loss not in (None, "none") or found.peak.name != "loss":
        return
    logits = sum(term.bytes for term in found.peak.terms if term.name == "logits and loss")
    if logits <= ctx.options.share * found.peak.bytes:
        return
    yield Finding(
        f"{ctx.said('batch.micro_batch_size')} makes logits of about {size(logits)},"
        f" {logits * 100 // found.peak.bytes} % of the peak",
        at="batch.micro_batch_size",
        remedy=_REMEDY.get(ctx.reading.framework, "set use_liger_kernel to true") + ", whose loss never has them all",
    )
