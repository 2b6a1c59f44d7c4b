"""One of two tied matrices is trained on its own.

## What it does
With the model's architecture known, flags `embed_tokens` or `lm_head` in `modules_to_save` or `target_modules` of a
model whose input and output embeddings are one matrix, without `ensure_weight_tying`.

## Why is this bad?
PEFT trains a copy, or two that drift apart; merging, and formats that keep one matrix (GGUF), then lose one of them.
Small models (Llama 3.2, Gemma, Qwen up to 4B) are tied, large ones are mostly not.

## Example
```yaml
base_model: meta-llama/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_modules_to_save: [embed_tokens, lm_head]
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

## Use instead
```yaml
base_model: meta-llama/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_modules_to_save: [embed_tokens]
peft_ensure_weight_tying: true
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
- peft 0.21.2: "Model has `tie_word_embeddings=True` and a tied layer is part of the adapter, but `ensure_weight_tying`
  is not set to True" (run, for either name in either list).
- unsloth pull request 9331 measured it: on Qwen2.5-0.5B the merged checkpoint dropped the trained head; with
  `ensure_weight_tying` it was kept. peft pull request 2803 (for issue 2777) introduced that option.

## What it does not flag
- Unsloth, which drops the tied output module itself; frameworks with LoRA layers of their own; models whose
  architecture is unknown; other names for embeddings (`wte`), about which PEFT does not know.
- An adapter that is trained already: an info.

## Fix safety
Unsafe: `ensure_weight_tying` (recent releases of PEFT) trains one matrix in place of two.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora, listed
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_EMBEDDINGS = frozenset(("embed_tokens", "lm_head"))
"""The names that PEFT knows as embeddings (peft 0.21.2 utils/other.py EMBEDDING_LAYER_NAMES)."""


@rule(
    code="ARC003",
    name="tied-embeddings-split",
    severity="warning",
    why="the model has one matrix for both; copies of it drift apart and merge badly",
    reads=(
        "adapter.modules_to_save",
        "adapter.target_modules",
        "adapter.ensure_weight_tying",
        "model.name",
    ),
    needs=("arch",),
    evidence=(
        Evidence(
            "a tied layer is part of the adapter",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "merging drops the trained head",
            "https://github.com/unslothai/unsloth/pull/9331",
            "pull request read",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or adapter.ensure_weight_tying or not made_by_peft(reading) or reading.format == "unsloth":
        return
    saved = [name for name in adapter.modules_to_save or () if name.rpartition(".")[2] in _EMBEDDINGS]
    targets = adapter.target_modules if isinstance(adapter.target_modules, tuple) else ()
    hit = [name for name in targets if name.rpartition(".")[2] in _EMBEDDINGS]
    if not (saved or hit) or not ctx.arch.tied_embeddings:
        return
    key = ctx.key("adapter.ensure_weight_tying")
    settable = "adapter.ensure_weight_tying" in reading.keys
    field = "adapter.modules_to_save" if saved else "adapter.target_modules"
    yield Finding(
        f"{listed(saved or hit)} in {ctx.key(field)}: {ctx.arch.name} has one matrix for embed_tokens and lm_head",
        at=field,
        severity="info" if trained(reading) else None,
        remedy=f"set {key} to true" if settable else f"take {listed(saved or hit)} out of {ctx.key(field)}",
        fix=Fix(f"set {key} to true", (Set("adapter.ensure_weight_tying", True),), "unsafe") if settable else None,
    )
