r"""A regular expression for module names is invalid.

## What it does
Flags `target_modules` and `exclude_modules` given as a string that Python's `re` cannot compile, and in axolotl such
entries of a list too.

## Why is this bad?
A string is a regular expression to PEFT, which stops after the model has been loaded; axolotl compiles the entries of a
list when it reads the config, and stops. A glob such as `*q_proj` is none: write `.*q_proj`.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: '.*\.(q_proj|v_proj'
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
lora_target_modules: '.*\.(q_proj|v_proj|up_proj)'
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
- peft 0.21.2 `tuners/tuners_utils.py`: `re.fullmatch(target, key)`.
- axolotl 0.19.0 `utils/schemas/config.py`: `check_lora_target_modules_regex` compiles the entries of a list.

## What it does not flag
- Lists outside axolotl, whose entries are plain names; formats that split a string or read globs; hand-rolled files.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import STRING_TARGETS, target_span
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_LONGEST = 4000


@rule(
    code="TGT017",
    name="target-invalid-regex",
    severity="error",
    why="peft takes a string for a regular expression",
    reads=(
        "adapter.target_modules",
        "adapter.exclude_modules",
    ),
    hand_rolled=False,
    evidence=(
        Evidence(
            "re.fullmatch(target, key)",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2",
        ),
        Evidence(
            "lora_target_modules is compiled",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/config.py",
            "axolotl 0.19.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan) or ctx.reading.format not in STRING_TARGETS:
        return
    adapter = plan.adapter
    for field, text in (
        ("adapter.target_modules", adapter.target_modules),
        ("adapter.exclude_modules", adapter.exclude_modules),
    ):
        if isinstance(text, tuple) and field == "adapter.target_modules" and ctx.reading.format == "axolotl":
            for name in text:
                if (invalid := _problem(name)) is not None:
                    yield Finding(
                        f"{name} is no regular expression ({invalid}): axolotl stops",
                        at=target_span(ctx.reading, name),
                        remedy="correct it, or write the plain name of a module",
                    )
        problem = _problem(text) if isinstance(text, str) else None
        if problem is not None:
            glob = isinstance(text, str) and text.startswith("*")
            yield Finding(
                f"{ctx.said(field)} is no regular expression: {problem}",
                at=field,
                remedy=f"write .{text}" if glob else "correct the expression, or give a list of names",
            )


def _problem(text: str) -> str | None:
    """Why an expression does not compile."""
    if len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None
