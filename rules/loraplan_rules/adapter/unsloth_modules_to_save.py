"""Unsloth does not train this module whole.

## What it does
Flags entries of `modules_to_save` other than `lm_head`, `embed_tokens` and norms where the adapter is made by Unsloth's
`FastLanguageModel`.

## Why is this bad?
Unsloth stops with "Module = ... is not allowed", after the model has been loaded: its fused kernels know these modules
only.

## Example
```python
from unsloth import FastLanguageModel
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained("unsloth/Llama-3.2-3B-Instruct", load_in_4bit=True)
model = FastLanguageModel.get_peft_model(
    model,
    r=16,
    lora_alpha=16,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    modules_to_save=["o_proj"],
)
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=1, bf16=True)
trainer = SFTTrainer(model=model, args=args, train_dataset=dataset)
```

## Use instead
```python
from unsloth import FastLanguageModel
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained("unsloth/Llama-3.2-3B-Instruct", load_in_4bit=True)
model = FastLanguageModel.get_peft_model(
    model,
    r=16,
    lora_alpha=16,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    modules_to_save=["lm_head"],
)
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=1, bf16=True)
trainer = SFTTrainer(model=model, args=args, train_dataset=dataset)
```

## Options
No options.

## Evidence
- unsloth 2026.10.9 `models/llama.py` `get_peft_model`; norms are allowed since 2026.

## What it does not flag
- `FastModel` and `FastVisionModel`, which hand the list to PEFT.

## Fix safety
No fix: whether the module is to be adapted by LoRA or left out cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_ALLOWED = frozenset(("lm_head", "embed_tokens"))


@rule(
    code="TGT016",
    name="unsloth-modules-to-save",
    severity="error",
    why="Unsloth's kernels allow lm_head, embed_tokens and norms only",
    reads=("adapter.modules_to_save",),
    evidence=(
        Evidence(
            "Module = ... is not allowed",
            "https://github.com/unslothai/unsloth/blob/main/unsloth/models/llama.py",
            "unsloth 2026.10.9",
        ),
    ),
    suppresses=("TGT007",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    reading = ctx.reading
    if reading.format != "unsloth" or not is_lora(plan) or reading.document.syntax != "python":
        return
    if "FastLanguageModel.get_peft_model" not in reading.document.text:
        return
    for name in plan.adapter.modules_to_save or ():
        if name.rpartition(".")[2] not in _ALLOWED and "norm" not in name.lower():
            yield Finding(
                f"{name} in {ctx.key('adapter.modules_to_save')}: Unsloth's FastLanguageModel does not allow it",
                at="adapter.modules_to_save",
                remedy=f"adapt {name} through target_modules, or make the adapter with FastModel",
            )
