"""A key occurs twice in the same mapping.

## What it does
Reports a key that is written twice where the values differ (an error) or agree (a warning).

## Why is this bad?
PyYAML and Python's `json` keep the last value without a word: of `learning_rate: 2.0e-4` in line 8 and
`learning_rate: 2.0e-5` in line 31, the second trains. OmegaConf and ruamel.yaml refuse the file.

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
lora_r: 8
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
bf16: true
```

## Options
None.

## Evidence
- YAML 1.2.2, section 3.2.1.1: the keys of a mapping are unique.
- PyYAML 6 and Python's `json`: the last value wins (run); omegaconf 2.3, `_utils.py`: duplicate keys raise
  `ConstructorError`.

## What it does not flag
Options that occur twice on a command line: there the last one wins by custom, and `"$@"` depends on it.

## Fix safety
There is none: only the author knows which value was meant.
"""

from __future__ import annotations

from loraplan.document import Entry, Mapping, Scalar, Span, walk
from loraplan.formats.reading import Reading
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.written import one_line


@rule(
    code="CFG005",
    name="duplicate-key",
    severity="error",
    why="loaders keep the last of two equal keys without a word, or refuse the file",
    reads=(),
    evidence=(
        Evidence("the keys of a YAML mapping are unique", "https://yaml.org/spec/1.2.2/#3211-nodes", "specification"),
        Evidence(
            "PyYAML and json keep the last value; OmegaConf refuses",
            "https://github.com/omry/omegaconf/blob/2.3_branch/omegaconf/_utils.py",
            "run with PyYAML 6",
        ),
    ),
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    reading = ctx.reading
    document = reading.document
    problems = [problem for problem in document.problems if problem.kind == "duplicate-key"]
    if not problems or document.syntax == "shell":
        return
    entries = _entries(reading)
    for problem in problems:
        entry = entries.get(problem.span)
        if entry is None and len(document.roots) > 1:
            continue  # it stands in another run of the same file
        first = entries.get(problem.related) if problem.related is not None else None
        same = entry is not None and first is not None and _equal(entry, first)
        name = entry.key.text if entry is not None else document.text[problem.span.start : problem.span.end]
        where = f" in line {document.position(problem.related.start).line}" if problem.related is not None else ""
        yield Finding(
            f"`{one_line(name)}` already stands{where}: "
            + ("the same value twice" if same else "the value here replaces that one without a word"),
            at=problem.span,
            remedy="keep one of the two",
            severity="warning" if same else None,
        )


def _entries(reading: Reading) -> dict[Span, Entry]:
    return {
        entry.key.span: entry for _, node in walk(reading.root) if isinstance(node, Mapping) for entry in node.entries
    }


def _equal(one: Entry, other: Entry) -> bool:
    return isinstance(one.value, Scalar) and isinstance(other.value, Scalar) and one.value.text == other.value.text
