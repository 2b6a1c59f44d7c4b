"""An access token stands in the config.

## What it does
Looks in the whole file, comments included, for Hugging Face tokens (`hf_` and at least 30 letters or digits) and for
40-digit hexadecimal values under a key that names a key or a token, which is the form of a W&B API key. The value
itself is never printed.

## Why is this bad?
Configs are committed, uploaded with the adapter and pasted into issues; a write token lets anyone replace your
models. A token that was ever pushed has to be revoked: deleting the line does not remove it from the history.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
# export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567
```

## Use instead
```yaml qlora.yml
# huggingface-cli login; export WANDB_API_KEY in the shell
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
None.

## Evidence
- <https://huggingface.co/docs/hub/security-tokens>: user access tokens; huggingface_hub 2.4.0, `hf_api.py`, writes them
  as `hf_***`.
- nemo-automodel 0.7.0, `components/launcher/skypilot/config.py`: the W&B key is read from `WANDB_API_KEY`.

## What it does not flag
Placeholders (`hf_xxxxxxxx...`, fewer than ten different characters), references such as `${HF_TOKEN}`, and
hexadecimal values under keys that name neither a key nor a token, such as commit hashes.

## Fix safety
There is none: the token has to be revoked.
"""

from __future__ import annotations

import re
from functools import cache

from loraplan.document import Span
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="SEC002",
    name="secret-in-config",
    severity="error",
    why="configs are committed and shared; whoever reads the token can use the account",
    reads=(),
    evidence=(
        Evidence("user access tokens", "https://huggingface.co/docs/hub/security-tokens", "docs"),
        Evidence(
            "the W&B key is read from WANDB_API_KEY",
            "https://github.com/NVIDIA-NeMo/Automodel/blob/main/nemo_automodel/components/launcher/skypilot/config.py",
            "source read at 0.7.0",
        ),
    ),
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    text = ctx.reading.document.text
    if "hf_" in text:
        for match in _pattern("hf").finditer(text):
            if _random(match[1]):
                yield _finding("a Hugging Face token", Span(match.start(), match.end()))
    if any(word in text for word in ("key", "KEY", "Key", "token", "TOKEN", "Token")):
        for match in _pattern("hex").finditer(text):
            if _random(match[1]):
                yield _finding("an API key", Span(match.start(1), match.end(1)))


@cache
def _pattern(name: str) -> re.Pattern[str]:
    if name == "hf":
        return re.compile(r"(?<![A-Za-z0-9_])hf_([A-Za-z0-9]{30,64})(?![A-Za-z0-9_])")
    return re.compile(r"(?:[Kk]ey|KEY|[Tt]oken|TOKEN)[\"']?\s{0,4}[:=,]\s{0,4}[\"']?([0-9a-fA-F]{40})(?![0-9a-zA-Z])")


def _random(value: str) -> bool:
    return len(set(value)) >= 10


def _finding(what: str, span: Span) -> Finding:
    return Finding(
        f"{what} is written out in this file",
        at=span,
        remedy="revoke it, and pass a new one through the environment",
    )
