"""Whole embeddings are trained beside the adapter.

## What it does
Notes `modules_to_save` with the embedding or the output head of a model whose matrix has 100 million elements or
more, and says what the copy, its gradient and its optimizer state take.

## Why is this bad?
PEFT keeps the original and a trained copy of each such module; with Adam a trained matrix costs several times its own
size. A few new tokens can be trained by themselves.

## Example
```yaml qlora.yml
base_model: meta-llama/Llama-3.1-8B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
lora_modules_to_save:
  - embed_tokens
  - lm_head
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
```yaml qlora.yml
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
- `elements` (100000000): the size of a matrix from which it is flagged.

## Evidence
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).
- peft 0.21.2 `utils/other.py` ModulesToSaveWrapper: the original stays beside the copy.
- peft docs, `developer_guides/lora`, trainable tokens: `trainable_token_indices` trains single rows.

## What it does not flag
Small vocabularies; runs that add tokens or resize the vocabulary; continued pretraining, where new
embeddings are the point.

## Fix safety
Unsafe: fewer weights are trained. The key is removed only by hand.
"""

from __future__ import annotations

from loraplan.derived import family
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="MEM004",
    name="modules-to-save-memory",
    severity="info",
    why="a trained copy of a whole matrix costs its gradient and its optimizer state besides",
    reads=("adapter.modules_to_save", "optimizer.name", "data.new_tokens"),
    evidence=(
        Evidence(
            "ModulesToSaveWrapper",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/other.py",
            "source read at peft 0.21.2",
        ),
    ),
    needs=("arch",),
    options={"elements": 100_000_000},
)
def check(plan: Plan, ctx: Context) -> Checked:
    names = plan.adapter.modules_to_save
    if (
        not names
        or plan.data.new_tokens
        or plan.data.resize_vocab
        or family(plan) in ("pretraining", "classification", "reward")
    ):
        return
    arch = ctx.arch
    large = [
        module
        for module in arch.modules
        if module.part in ("embedding", "head")
        and module.elements >= ctx.options.elements
        and any(module.name.endswith(name) for name in names)
    ]
    if not large or arch.tied_embeddings:  # ARC003 speaks of tied ones
        return
    from loraplan.memory.optimizer import find
    from loraplan_rules.planned import size

    optimizer, _ = find(plan.optimizer.name, fused=True)
    total = int(sum(module.elements for module in large) * (2 + 2 + 2 * optimizer.copies + optimizer.fixed))
    listed = " and ".join(module.name.rpartition(".")[2] for module in large)
    yield Finding(
        f"{ctx.key('adapter.modules_to_save')} trains a copy of {listed} ({arch.vocab_size} x {arch.hidden_size}):"
        f" about {size(total)} of weights, gradients and optimizer state",
        at="adapter.modules_to_save",
        remedy="leave them out; where a few tokens are new, train these alone (PEFT: trainable_token_indices)",
    )
