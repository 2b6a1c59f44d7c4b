"""Single tokens and the whole embedding are trained at once.

## What it does
Flags `trainable_token_indices` beside `embed_tokens` in `target_modules` (an error) or in `modules_to_save` (a
warning).

## Why is this bad?
PEFT stops at an embedding that LoRA has replaced. With `modules_to_save` it wraps a wrapper, "Unsupported layer type
... proceed at your own risk": the whole embedding is trained after all, which is what the indices are there to avoid.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "up_proj", "embed_tokens"],
  "trainable_token_indices": [128002, 128003]
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "up_proj"],
  "trainable_token_indices": [128002, 128003]
}
```

## Options
No options.

## Evidence
- peft 0.21.2: "trainable_token_indices cannot be applied to modules of type ... lora.layer.Embedding", and the warning
  (both run).

## What it does not flag
- Indices for another layer than the embedding.

## Fix safety
No fix: which of the two is meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="ARC006",
    name="token-indices-with-embedding",
    severity="error",
    why="peft wraps an embedding for single tokens, or adapts it, but not both",
    reads=(
        "adapter.trainable_token_indices",
        "adapter.target_modules",
        "adapter.modules_to_save",
    ),
    evidence=(
        Evidence(
            "cannot be applied to modules of type",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/other.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not adapter.trainable_token_indices or not is_lora(plan) or not made_by_peft(ctx.reading):
        return
    targets = adapter.target_modules if isinstance(adapter.target_modules, tuple) else ()
    for field, names in (
        ("adapter.target_modules", targets),
        ("adapter.modules_to_save", adapter.modules_to_save or ()),
    ):
        hit = next((name for name in names if name.rpartition(".")[2] == "embed_tokens"), None)
        if hit is None:
            continue
        stops = field == "adapter.target_modules"
        yield Finding(
            f"{ctx.key('adapter.trainable_token_indices')} beside {hit} in {ctx.key(field)}: "
            + ("peft stops" if stops else "the whole embedding is trained after all"),
            at="adapter.trainable_token_indices",
            severity=None if stops else "warning",
            remedy=f"take {hit} out of {ctx.key(field)}, or leave the indices out",
        )
