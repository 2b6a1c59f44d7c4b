"""A key is not one that the framework reads.

## What it does
Reports keys that are not in the framework's schema, with the nearest known key where one is within two edits.

## Why is this bad?
A framework that ignores unknown keys trains with the default instead of what was written: `lora_alfa: 64` leaves
`lora_alpha` at 8 in PEFT, an eighth of the intended update at r = 64. A framework that raises stops, at best before
the model is downloaded.

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
warmup_ratoi: 0.1
bf16: true
```

## Use instead
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
warmup_ratio: 0.1
bf16: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `hf_argparser.py`: unknown keys of a YAML or JSON file raise `ValueError`.
- peft 0.21.2, `config.py`, `from_peft_type`: unexpected keyword arguments are dropped with a warning.
- axolotl 0.19.0, `utils/schemas/`: `extra="forbid"` stands in `fp8.py` only; unknown keys elsewhere are ignored.

## What it does not flag
Keys of hand-rolled files, whose schema nobody knows. Unknown keys that are null in a framework that ignores them:
they cannot have an effect. A key without a near neighbour, while the framework's version is unknown, may belong to
another version or to the project's own script: such keys are listed in one note a file.

## Fix safety
Unsafe: the renamed key begins to have an effect.
"""

from __future__ import annotations

from loraplan.document import Mapping, Scalar, Span, walk
from loraplan.formats.reading import KeyIssue, Reading
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, RenameKey, Severity, rule
from loraplan_rules.written import one_line

_SEVERITY: dict[str, Severity] = {"raises": "error", "ignored": "warning", "works": "info"}
_LISTED = 8


@rule(
    code="CFG001",
    name="unknown-key",
    severity="warning",
    why="a key that the framework does not read leaves the default in force, or stops the run",
    reads=(),
    evidence=(
        Evidence(
            "HfArgumentParser raises on unknown keys, LoraConfig.from_pretrained drops them with a warning",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/hf_argparser.py",
            "run with transformers 5.23.0 and peft 0.21.2",
        ),
        Evidence(
            "axolotl ignores unknown keys",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/config.py",
            "source read at 0.19.0",
        ),
    ),
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    reading = ctx.reading
    issues = [issue for issue in reading.key_issues if issue.kind == "unknown"]
    if not issues:
        return
    elsewhere = {issue.span for issue in reading.key_issues if issue.kind != "unknown"}
    idle = _null_keys(reading)
    unsure: list[KeyIssue] = []
    for issue in issues:
        if issue.span in elsewhere or (issue.effect != "raises" and issue.span in idle):
            continue
        if issue.suggestion:
            yield _misspelt(issue, issue.suggestion, present=_leaf(issue.suggestion) in _names(reading))
        elif issue.effect == "raises" and ctx.version(issue.framework) is not None:
            yield Finding(
                f"`{one_line(issue.key)}` is no key of {issue.framework} {ctx.version(issue.framework)}:"
                " it refuses the config",
                at=issue.span,
                remedy="remove it",
                severity="error",
            )
        else:
            unsure.append(issue)
    if unsure:
        names = ", ".join(f"`{one_line(issue.key)}`" for issue in unsure[:_LISTED])
        more = f" and {len(unsure) - _LISTED} more" if len(unsure) > _LISTED else ""
        stops = any(issue.effect == "raises" for issue in unsure)
        yield Finding(
            f"{names}{more}: not read by {unsure[0].framework if reading.version else reading.assumed_version}"
            f" ({'which refuses unknown keys' if stops else 'ignored'})",
            at=unsure[0].span,
            remedy="check the spelling, or say which version of the framework you run",
            severity="info",
        )


def _misspelt(issue: KeyIssue, suggestion: str, present: bool) -> Finding:
    effect = "and refuses the config" if issue.effect == "raises" else "so it has no effect"
    return Finding(
        f"`{one_line(issue.key)}` is no key that {issue.framework} reads, {effect}",
        at=issue.span,
        remedy=f"did you mean `{suggestion}`?",
        severity=_SEVERITY[issue.effect],
        fix=None
        if present
        else Fix(f"rename it to {_leaf(suggestion)}", (RenameKey(issue.span, _leaf(suggestion)),), "unsafe"),
    )


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _names(reading: Reading) -> set[str]:
    return {entry.key.text for _, node in walk(reading.root) if isinstance(node, Mapping) for entry in node.entries}


def _null_keys(reading: Reading) -> set[Span]:
    """Key spans of entries without a value."""
    return {
        entry.key.span
        for _, node in walk(reading.root)
        if isinstance(node, Mapping)
        for entry in node.entries
        if isinstance(entry.value, Scalar)
        and entry.value.style == "plain"
        and entry.value.text in ("", "~", "null", "Null", "NULL", "None")
    }
