"""The run will not fit the card.

## What it does
Predicts the peak memory of the run and compares it with the card named by `--gpu` or the settings. It is an error
where even the low end of the prediction exceeds the card, a warning where the expected value does or takes more than
90 % of it.

## Why is this bad?
The run stops with CUDA out of memory, often only after minutes, when the first long batch comes.

## Example
```yaml qlora.yml gpu=rtx-4090
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
micro_batch_size: 8
gradient_accumulation_steps: 1
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
```yaml qlora.yml gpu=rtx-4090
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 16
lora_alpha: 32
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

## Options
- `full` (0.9): the share of the card from which a run is called tight.

## Evidence
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).
- torch 2.13 `notes/cuda.rst`: what the caching allocator keeps beyond the tensors.

## What it does not flag
- Runs for which no card is named or whose model is unknown: skipped, and counted as such. So are those that spread
  the model over several cards (FSDP, DeepSpeed; Megatron's and axolotl's pipeline and expert parallelism) where the
  file does not say over how many.
- As an error, runs whose sequences are not packed: their length is known only as a cap.

## Fix safety
Unsafe: batch, length or precision change. The smallest change that makes the run fit is offered: checkpointing, a
smaller micro-batch with more accumulation, an 8-bit optimizer, 4-bit weights, shorter sequences.
"""

from __future__ import annotations

from loraplan.document import Scalar
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Severity, Skip, rule
from loraplan_rules.keys import entry

_SPREADING = ("expert_parallel_size", "expert_model_parallel_size", "pipeline_model_parallel_size")


@rule(
    code="MEM001",
    name="predicted-out-of-memory",
    severity="error",
    why="a run that needs more than the card has stops with CUDA out of memory",
    reads=("batch.micro_batch_size", "data.max_length", "precision.gradient_checkpointing", "quantization.bits"),
    evidence=(Evidence("predicted from the operations of a training step", "docs/accuracy.md", "measured rows"),),
    needs=("gpu", "arch"),
    options={"full": 0.9},
    suppresses=("MEM002",),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    device, found = ctx.gpu, ctx.estimate
    strategy = plan.distributed.strategy or ""
    if plan.distributed.devices is None and strategy.startswith(("fsdp", "zero", "deepspeed")):
        raise Skip("gpu", f"how many GPUs {strategy} spreads the model over is unknown")
    spread = entry(ctx.reading, *_SPREADING)
    if spread is not None and isinstance(spread.value, Scalar) and spread.value.text.strip() != "1":
        raise Skip("gpu", f"what {spread.key.text} leaves on one GPU is unknown")
    from loraplan.memory.observed import CONTEXT
    from loraplan_rules.planned import breakdown, remedies, size

    usable = device.usable_bytes
    if found.allocated.low + CONTEXT > usable:
        severity: Severity = "error" if plan.data.packing else "warning"
    elif found.allocated.expected + CONTEXT > ctx.options.full * usable:
        severity = "warning"
    else:
        return
    words, fix = remedies(plan, ctx, device)
    length = "" if plan.data.packing else " with sequences at their cap"
    yield Finding(
        f"{ctx.said('batch.micro_batch_size')}{length} needs about {size(found.allocated.expected + CONTEXT)} in the"
        f" {found.peak.name} phase ({breakdown(found.peak)}); {device.name} has {size(usable)}",
        at="batch.micro_batch_size",
        remedy=words,
        severity=severity,
        fix=fix,
    )
