"""Rule tests as Markdown: fenced configs in `cases/*.md` and in the rules' own pages, run through the engine.

A fence's info string is its language and what the run knows besides the file:

    ```yaml qlora.yml dataset_size=120000 model=meta-llama/Llama-3.1-8B gpu=T4 transformers=4.57.1 preview

- a word with a dot is the file's name (each language has a usual one);
- `baseline` alone makes the fence the earlier version of the next one;
- `preview` turns the preview set on;
- `framework=version` states a framework's version;
- `CODE.option=text` sets a rule's option.

A line that must have findings ends in `# expect: CODE@COLUMN`, several separated by commas; a severity may follow the
column (`# expect: ALP001@13 info`). In JSON and after a shell's backslash the comment is as good: it is cut off before
the engine sees the text. A fence without one is a good case.
"""

from __future__ import annotations

import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan_rules import CODES

CASES = Path(__file__).parent / "cases"
LIVE = sorted(code for code, module in CODES.items() if module)
NAMES = {
    "yaml": "config.yml", "json": "adapter_config.json", "toml": "config.toml",
    "bash": "train.sh", "sh": "train.sh", "python": "train.py",
}  # fmt: skip
_FLAGS = frozenset(("baseline", "preview"))
_INPUTS = frozenset(("dataset_size", "model", "gpu"))
_FENCE = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_EXPECT = re.compile(r"[ \t]*(?:#|//)[ \t]*expect:[ \t]*(.*)$", re.MULTILINE)
_EXPECTED = re.compile(r"([A-Z]{3}\d{3})@(\d+)(?: (error|warning|info))?")


class Expected(NamedTuple):
    """A finding that a case asks for; severity None is not compared."""

    code: str
    line: int
    column: int
    severity: str | None


class Case(NamedTuple):
    """One fenced config under its heading."""

    heading: str
    path: str
    text: str
    expected: tuple[Expected, ...]
    inputs: dict[str, str]
    preview: bool
    baseline: str | None


class Found(NamedTuple):
    """What the engine reported."""

    code: str
    line: int
    column: int
    severity: str
    message: str
    remedy: str


def page(code: str) -> str:
    """A rule's page: its module's docstring."""
    return import_module(f"loraplan_rules.{CODES[code]}").__doc__ or ""


def section(text: str, heading: str) -> str:
    """The text below a `## heading`, up to the next one."""
    _, found, rest = f"\n{text}".partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0] if found else ""


def read_cases(text: str, language: str | None = None) -> list[Case]:
    """Every fenced config of a Markdown text, in order."""
    headings = [(match.start(), match[1].strip()) for match in _HEADING.finditer(_FENCE.sub(_blank, text))]
    cases: list[Case] = []
    baseline: str | None = None
    for fence in _FENCE.finditer(text):
        if fence[1] not in NAMES:
            continue
        heading = next((title for start, title in reversed(headings) if start < fence.start()), "")
        path, flags, inputs = NAMES[fence[1]], set(), {}
        for word in fence[2].split():
            key, equals, value = word.partition("=")
            if equals:
                inputs[key] = value
            elif word in _FLAGS:
                flags.add(word)
            else:
                assert "." in word, f"{word!r} is neither a file name nor a flag"
                path = word
        if "baseline" in flags:
            baseline = fence[3]
            continue
        body, expected = _split(fence[3])
        cases.append(Case(heading, path, body, expected, inputs, "preview" in flags, baseline))
        baseline = None
    return cases


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _split(body: str) -> tuple[str, tuple[Expected, ...]]:
    expected = []
    for number, line in enumerate(body.split("\n"), 1):
        if match := _EXPECT.search(line):
            for part in match[1].split(","):
                item = _EXPECTED.fullmatch(part.strip())
                assert item, f"cannot read the expectation {part!r}"
                expected.append(Expected(item[1], number, int(item[2]), item[3]))
    return _EXPECT.sub("", body), tuple(expected)


def run(case: Case) -> list[Found]:
    """Every finding of the engine on a case: default rules, or the preview ones too."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        versions = {key: value for key, value in case.inputs.items() if key not in _INPUTS and "." not in key}
        lines = ["[versions]", *(f'{key} = "{value}"' for key, value in versions.items())]
        for key, value in case.inputs.items():
            code, dot, option = key.partition(".")
            lines += [f"[rules.{code}]", f'{option} = "{value}"'] if dot else []
        settings = directory / "loraplan.toml"
        settings.write_text("\n".join(lines) + "\n")
        baseline = None
        if case.baseline is not None:
            baseline = directory / f"earlier{Path(case.path).suffix}"
            baseline.write_text(case.baseline, encoding="utf-8")
        inputs = Inputs(
            model=case.inputs.get("model"),
            gpu=case.inputs.get("gpu"),
            dataset_size=int(case.inputs["dataset_size"]) if "dataset_size" in case.inputs else None,
            baseline=str(baseline) if baseline else None,
        )
        checker = Checker(inputs, Overrides(preview=case.preview, settings=str(settings)))
        result = checker.check(str(directory / case.path), text=case.text)
    assert result is not None
    assert not result.failures, result.failures
    assert result.runs
    return [
        Found(item.code, item.line, item.column, item.severity, item.message, item.remedy)
        for item in result.diagnostics
    ]


def check_code(case: Case, code: str) -> None:
    """Assert that a case has exactly its expected findings of `code`, and the others that it names."""
    found = run(case)
    wanted = {(item.code, item.line, item.column) for item in case.expected}
    have = {(item.code, item.line, item.column) for item in found}
    listing = "\n".join(map(repr, found))
    assert {item for item in have if item[0] == code} == {item for item in wanted if item[0] == code}, listing
    assert wanted <= have, listing
    severities = {item[:3]: item.severity for item in found}
    for item in case.expected:
        if item.severity is not None:
            assert severities[item[:3]] == item.severity, listing
