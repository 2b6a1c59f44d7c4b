"""Tokens are added, and their embeddings are not trained.

## What it does
Flags tokens that are added explicitly (axolotl `tokens`, LLaMA-Factory `add_tokens`, `add_special_tokens` and
`resize_vocab`, ms-swift `new_special_tokens`, a script's `add_tokens` with `resize_token_embeddings`) where no
embedding is in `modules_to_save` or `target_modules` and there are no `trainable_token_indices`.

## Why is this bad?
The new rows keep the values they start with, since LoRA freezes the embedding: the model never learns the tokens.
axolotl stops with an error. LLaMA-Factory stops where the model is quantized.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
tokens: ['<|think|>', '<|/think|>']
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
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
tokens: ['<|think|>', '<|/think|>']
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

## Options
No options.

## Evidence
- Resized embeddings have `requires_grad` False under LoRA; PEFT saves them, and does not train them (peft 0.21.2
  `utils/save_and_load.py`, run).
- axolotl 0.19.0 `loaders/utils.py`: "`lora_modules_to_save` not properly set when adding new tokens".
- LLaMA-Factory 0.9.5 `hparams/parser.py`, `model/model_utils/embedding.py`: "Cannot resize embedding layers of a
  quantized model"; `model/adapter.py` adds the embeddings itself where `additional_target` is absent.

## What it does not flag
- axolotl's `special_tokens` (which mostly name tokens that the tokenizer has) and its rounding of the vocabulary; a pad
  token alone.
- ChatML's tokens in models that have them (Qwen, Yi, InternLM and others).
- TRL's cloned chat template and LLaMA-Factory without `additional_target`, which train the rows themselves.

## Fix safety
No fix: which embeddings to train whole is a question of memory; `trainable_token_indices` needs the new indices.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.reading import Reading
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_INPUT = frozenset("embed_tokens embed_in word_embeddings wte tok_embeddings embeddings embedding".split())
_OUTPUT = frozenset("lm_head embed_out output output_layer".split())
_CHATML = frozenset(("<|im_start|>", "<|im_end|>"))
_HAVE_CHATML = ("qwen", "yi-", "internlm", "hermes", "dolphin", "chatml", "smollm", "qwq", "olmo", "phi-4", "lfm")


@rule(
    code="ARC004",
    name="added-tokens-not-trained",
    severity="error",
    why="LoRA freezes the embedding, so new rows keep the values they start with",
    reads=(
        "data.new_tokens",
        "data.resize_vocab",
        "adapter.modules_to_save",
        "adapter.target_modules",
        "adapter.trainable_token_indices",
    ),
    hand_rolled=False,
    evidence=(
        Evidence(
            "not properly set when adding new tokens",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/loaders/utils.py",
            "axolotl 0.19.0",
        ),
        Evidence(
            "Cannot resize embedding layers of a quantized model",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/parser.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "a report",
            "https://github.com/huggingface/peft/issues/1300",
            "issue thread",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if adapter.method != "lora" or not is_lora(plan) or trained(reading) or adapter.trainable_token_indices:
        return
    saved = {name.rpartition(".")[2] for name in adapter.modules_to_save or ()}
    targets = adapter.target_modules if isinstance(adapter.target_modules, tuple) else ()
    touched = saved | {name.rpartition(".")[2] for name in targets}
    tokens = tuple(plan.data.new_tokens or ())
    if set(tokens) <= _CHATML and any(name in (plan.model.name or "").lower() for name in _HAVE_CHATML):
        tokens = ()
    key = ctx.key("adapter.modules_to_save")
    match reading.format:
        case "axolotl" if tokens and not (saved & _INPUT and saved & _OUTPUT):
            yield Finding(
                f"{ctx.said('data.new_tokens')} without the embeddings in {key}: axolotl stops",
                at="data.new_tokens",
                remedy=f"set {key} to embed_tokens, lm_head",
            )
        case "llamafactory" if tokens or plan.data.resize_vocab:
            field = "data.resize_vocab" if plan.data.resize_vocab else "data.new_tokens"
            if plan.quantization.bits in (4, 8):
                yield Finding(
                    f"{ctx.said(field)} on a quantized model: LLaMA-Factory stops",
                    at=field,
                    why="the embedding of a quantized model cannot be resized",
                    remedy=f"remove {ctx.key(field)}, or do without quantization",
                )
            elif ctx.explicit("adapter.modules_to_save") and not touched & _INPUT:
                yield _untrained(ctx, field)
        case "ms-swift" if tokens and not touched & _INPUT:
            yield _untrained(ctx, "data.new_tokens")
        case "loraplan" if tokens and not touched & _INPUT:
            yield _untrained(ctx, "data.new_tokens")
        case "python" | "unsloth" if not touched & _INPUT and _resizes(reading):
            yield Finding(
                "tokens are added and the embeddings resized, but LoRA leaves the new rows as they are",
                at="adapter.modules_to_save",
                remedy=f"set {key} to embed_tokens, lm_head, or give trainable_token_indices",
            )


def _untrained(ctx: Context, field: str) -> Finding:
    key = ctx.key("adapter.modules_to_save")
    return Finding(
        f"{ctx.said(field)}, but no embedding is trained",
        at=field,
        remedy=f"add embed_tokens and lm_head to {key}",
    )


def _resizes(reading: Reading) -> bool:
    """Whether a script adds tokens and resizes the embedding, and says nothing of training it."""
    if reading.document.syntax != "python":
        return False
    lines = [line.partition("#")[0] for line in reading.document.text.splitlines()]
    code = "\n".join(lines)
    if "embed" in code.replace("resize_token_embeddings", "").replace("get_input_embeddings", ""):
        return False
    return (
        ".resize_token_embeddings(" in code
        and ".add_tokens(" in code
        and "trainable_token_indices" not in code
        and "requires_grad" not in code
    )
