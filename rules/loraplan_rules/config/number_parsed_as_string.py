"""A number is written so that the framework's loader reads a string.

## What it does
Reports numeric fields whose value arrives as a string: in YAML 1.1, which PyYAML implements, `1e-4` has no dot and is
therefore text, and quoted numbers are text in any syntax.

## Why is this bad?
transformers' `HfArgumentParser` passes the string on: the run stops with `TypeError: '<=' not supported between
instances of 'float' and 'str'` when the optimizer is made, after the model has been downloaded and loaded.

## Example
```yaml args.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
use_lora: true
lora_rank: 16
lora_alpha: 32
output_dir: out
learning_rate: 1e-4
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Use instead
```yaml args.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
use_lora: true
lora_rank: 16
lora_alpha: 32
output_dir: out
learning_rate: 1.0e-4
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Options
None.

## Evidence
- PyYAML 6, `resolver.py`: a float needs a dot, and its exponent a sign.
- transformers 5.23.0, `hf_argparser.py`, `parse_yaml_file`: values go to the dataclass as they are;
  `torch.optim.AdamW(lr="1e-4")` raises `TypeError` (run).

## What it does not flag
Frameworks that convert: axolotl (pydantic), LLaMA-Factory, torchtune and oumi (OmegaConf), TRL's command line
(argparse), mlx-lm (its own resolver). In hand-rolled files, whose loader is unknown, it is one note a run.

## Fix safety
Safe: the number is the one that was written.
"""

from __future__ import annotations

from loraplan.formats.reading import ValueIssue
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.written import one_line


@rule(
    code="CFG002",
    name="number-parsed-as-string",
    severity="error",
    why="YAML 1.1 reads `1e-4` as text; a loader that does not convert it fails when the optimizer is made",
    reads=(),
    evidence=(
        Evidence(
            "YAML 1.1's float needs a dot, and a sign in the exponent",
            "https://github.com/yaml/pyyaml/blob/6.0.2/lib/yaml/resolver.py",
            "run with PyYAML 6",
        ),
        Evidence(
            "HfArgumentParser keeps the string; the optimizer raises TypeError",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/hf_argparser.py",
            "run with transformers 5.23.0 and torch 2.13.0",
        ),
    ),
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    soft: list[ValueIssue] = []
    for issue in ctx.reading.value_issues:
        if issue.kind == "wrong-type" and issue.expected == "a number" and _meant_as_number(issue.text):
            if issue.effect == "raises":
                yield Finding(
                    f"`{ctx.key(issue.field)}: {one_line(issue.text)}` is not a number,"
                    f" so {ctx.reading.framework} cannot use it",
                    at=issue.span,
                    remedy="write a plain number",
                )
        elif issue.kind == "string-number":
            if issue.effect == "works":
                soft.append(issue)
            else:
                yield _finding(issue, ctx)
    if soft:
        names = ", ".join(dict.fromkeys(f"`{ctx.key(issue.field)}`" for issue in soft))
        yield Finding(
            f"{names}: `{one_line(soft[0].text)}` is a string to YAML 1.1 (PyYAML), unless your script converts it",
            at=soft[0].span,
            remedy=f"write {_spelling(soft[0].text)}",
            severity="info",
        )


def _finding(issue: ValueIssue, ctx: Context) -> Finding:
    quoted = ctx.reading.document.text[issue.span.start : issue.span.start + 1] in ('"', "'")
    cause = "in quotes" if quoted else "to YAML 1.1"
    stops = "training stops when it is used" if issue.effect == "raises" else "it is ignored"
    return Finding(
        f"`{ctx.key(issue.field)}: {one_line(issue.text)}` is a string {cause}, not a number: {stops}",
        at=issue.span,
        remedy=f"write {one_line(issue.text)} without quotes" if quoted else f"write {_spelling(issue.text)}",
        fix=_fix(issue),
    )


def _fix(issue: ValueIssue) -> Fix | None:
    try:
        number = float(issue.text)
    except ValueError:
        return None
    return Fix(f"write it as the number {_spelling(issue.text)}", (Set(issue.field, number),), "safe")


def _spelling(text: str) -> str:
    """The same number as YAML 1.1 reads it: with a dot, and a sign in the exponent."""
    mantissa, mark, exponent = one_line(text).lower().partition("e")
    if not mark:
        return one_line(text)
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{exponent if exponent[:1] in ('+', '-') else '+' + exponent}"


def _meant_as_number(text: str) -> bool:
    return text.lstrip("+-.\u2212")[:1].isdigit()
