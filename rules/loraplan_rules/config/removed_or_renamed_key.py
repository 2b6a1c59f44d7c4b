"""A key was removed or renamed in the framework's version.

## What it does
Compares keys with a table of removals and renamings. Where the framework's version is known (from the settings, a
requirements or lock file, or the config itself) each such key is a finding. Where it is not, one note a file lists
them and names the version from which they matter.

## Why is this bad?
A config for transformers 4 stops transformers 5 with `TypeError: unexpected keyword argument` (`warmup_ratio`,
`evaluation_strategy`, `overwrite_output_dir`, `group_by_length`), and a config for trl 0.x stops trl 1.x
(`max_seq_length`, now `max_length`). Of 154 public configs for frameworks built on TrainingArguments, 105 have at
least one such key.

## Example
```yaml sft.yaml transformers=5.23.0 trl=1.16.0
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_ratio: 0.03
evaluation_strategy: "no"
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 0.03
eval_strategy: "no"
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
```

## Options
None.

## Evidence
- transformers 5.23.0 and trl 1.16.0: `TrainingArguments(warmup_ratio=0.1)` and `SFTConfig(max_seq_length=512)` raise
  `TypeError` (run).
- transformers 4.57.1, `training_args.py`: `warmup_ratio`, `group_by_length` and `overwrite_output_dir` are fields.
- axolotl 067b021, `src/axolotl/utils/schemas/deprecated.py`.

## What it does not flag
Nothing at warning or above while the version is unknown: the same file is right for an older version. A key reported
here is not reported as unknown too.

## Fix safety
Safe: the new key means the same.
"""

from __future__ import annotations

from loraplan.formats.reading import KeyIssue
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, RenameKey, Severity, rule

_SEVERITY: dict[str, Severity] = {"raises": "error", "ignored": "warning", "works": "info"}
_EFFECT = {"raises": "it stops the run", "ignored": "it is ignored", "works": "it still works, but is deprecated"}


@rule(
    code="CFG003",
    name="removed-or-renamed-key",
    severity="error",
    why="a key of another version of the framework stops the run or has no effect",
    reads=(),
    evidence=(
        Evidence(
            "warmup_ratio, evaluation_strategy and others are no TrainingArguments any more",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "run with transformers 5.23.0; present in 4.57.1",
        ),
        Evidence(
            "SFTConfig takes max_length, not max_seq_length",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_config.py",
            "run with trl 1.16.0",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    assumed: list[KeyIssue] = []
    for issue in ctx.reading.key_issues:
        if issue.kind == "unknown":
            continue
        version = ctx.version(issue.framework)
        if version is None and issue.since is not None:
            assumed.append(issue)
            continue
        stated = f"{issue.framework} {version}" if version is not None else issue.framework
        yield Finding(
            f"`{issue.key}` {_what(issue)} in {stated}: {_EFFECT[issue.effect]}",
            at=issue.span,
            remedy=f"use `{issue.suggestion}`" if issue.suggestion else "remove it",
            severity=_SEVERITY[issue.effect],
            fix=_fix(issue),
        )
    if assumed:
        yield _note(assumed)


def _what(issue: KeyIssue) -> str:
    return {"removed": "was removed", "renamed": "was renamed", "deprecated": "is deprecated"}.get(
        issue.kind, "is not read"
    )


def _since(issue: KeyIssue) -> str:
    since = (issue.since or "").strip()
    return since if since.startswith(issue.framework) else f"{issue.framework} {since}".strip()


def _note(issues: list[KeyIssue]) -> Finding:
    """One finding for all keys that matter only under a version that nobody stated."""
    parts = []
    for effect in ("raises", "ignored", "works"):
        for version in dict.fromkeys(_since(issue) for issue in issues if issue.effect == effect):
            keys = ", ".join(
                f"`{issue.key}`" + (f" (now `{issue.suggestion}`)" if issue.suggestion else "")
                for issue in issues
                if issue.effect == effect and _since(issue) == version
            )
            verb = {"raises": "stop the run", "ignored": "are ignored", "works": "are deprecated"}[effect]
            parts.append(f"under {version}, {keys} {verb}")
    first = min(issues, key=lambda issue: ("raises", "ignored", "works").index(issue.effect))
    return Finding(
        "; ".join(parts) + " (no version is stated; the newest is assumed)",
        at=first.span,
        remedy="pin the version you run, or use the new keys",
        severity="info",
    )


def _fix(issue: KeyIssue) -> Fix | None:
    if not issue.suggestion:
        return None
    key, separator, value = issue.suggestion.partition(": ")
    if not key.replace("_", "").replace(".", "").replace("-", "").isalnum():
        return None
    leaf = key.rpartition(".")[2]
    keeps_value = not separator or leaf == "warmup_steps"  # a ratio stays the same number under the new key
    change = RenameKey(issue.span, leaf, None if keeps_value else value)
    return Fix(f"rename it to {leaf}", (change,), "safe")
