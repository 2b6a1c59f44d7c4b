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
- axolotl 0.19.0, `utils/schemas/deprecated.py`.

## What it does not flag
Nothing at warning or above while the version is unknown: the same file is right for an older version. Keys that are
only deprecated then are not mentioned at all. A key reported here is not reported as unknown too.

## Fix safety
Safe: the new key means the same.
"""

from __future__ import annotations

from loraplan.formats.reading import KeyIssue
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, RenameKey, Severity, rule
from loraplan_rules.written import one_line

_SEVERITY: dict[str, Severity] = {"raises": "error", "ignored": "warning", "works": "info"}
_EFFECT = {"raises": "it stops the run", "ignored": "it is ignored", "works": "it still works"}
_WHAT = {"removed": "is gone from", "renamed": "has another name in", "deprecated": "is deprecated in"}
_LISTED = 8


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
def check(_plan: Plan, ctx: Context) -> Checked:
    assumed: list[KeyIssue] = []
    for issue in ctx.reading.key_issues:
        if issue.kind == "unknown":
            continue
        version = ctx.version(issue.framework)
        if version is None:
            assumed.append(issue)
            continue
        use = _use(issue)
        yield Finding(
            f"`{one_line(issue.key)}` {_WHAT[issue.kind]} {issue.framework} {version}: {_EFFECT[issue.effect]}",
            at=issue.span,
            remedy=f"use `{use}`" if use else "remove it",
            severity=_SEVERITY[issue.effect],
            fix=_fix(issue),
        )
    broken = [issue for issue in assumed if issue.effect != "works"]
    if broken:
        yield _note(broken, ctx)


def _note(issues: list[KeyIssue], ctx: Context) -> Finding:
    """One finding for all keys that matter only under a version that nobody stated."""
    listed = []
    for issue in issues[:_LISTED]:
        since, use = _since(issue) or ctx.reading.assumed_version, _use(issue)
        listed.append(f"`{one_line(issue.key)}` ({since}{f': `{use}`' if use else ''})")
    keys = ", ".join(listed)
    more = f" and {len(issues) - _LISTED} more" if len(issues) > _LISTED else ""
    stops = any(issue.effect == "raises" for issue in issues)
    return Finding(
        f"no version is stated; the newest {'stops at' if stops else 'ignores'} keys of an older one: {keys}{more}",
        at=issues[0].span,
        remedy="pin the version that you run, or use the new keys",
        severity="info",
    )


def _since(issue: KeyIssue) -> str:
    since = (issue.since or "").strip()
    return since if not since or since.startswith(issue.framework) else f"{issue.framework} {since}"


def _use(issue: KeyIssue) -> str | None:
    """What to write instead; a ratio keeps its value under the new key."""
    if issue.suggestion and issue.suggestion.startswith("warmup_steps:"):
        return "warmup_steps"
    return one_line(issue.suggestion) if issue.suggestion else None


def _fix(issue: KeyIssue) -> Fix | None:
    use = _use(issue)
    if not use or any(mark in use for mark in "()"):
        return None
    key, _, value = use.partition(": ")
    leaf = key.rpartition(".")[2]
    return Fix(f"rename it to {leaf}", (RenameKey(issue.span, leaf, value or None),), "safe")
