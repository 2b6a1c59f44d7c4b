"""Whether a planted fault is found at its line, mended, and nothing else with it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import yaml

from loraplan.fixing import Fixed, fix_text
from loraplan_rules import CODES
from seeded.fault import Planted
from seeded.planting import checker_of

OUTCOMES = ("found", "fixable", "fixed", "careful")


def judge(planted: Planted) -> tuple[set[str], str]:
    """The outcomes, and in words what went wrong.

    found: the rule, or one that takes its place, reports a planted line, with every rule on. fixable: the finding has
    a fix. fixed: after all fixes of the rule it is silent, and the file reads as the same format. careful: as plain
    YAML, JSON or TOML the mended file differs from the planted one in no more values than the fixes name.
    """
    fault = planted.fault
    result = checker_of(fault).check(planted.path, text=planted.text)
    if result is None:
        return set(), "not read"
    codes = {fault.code, *_instead(fault.code)}
    hits = [item for item in result.diagnostics if item.code in codes]
    if not any(item.line in planted.lines for item in hits):
        said = ", ".join(sorted({f"{item.code}:{item.line}" for item in hits})) or "nothing"
        return set(), f"not found at {sorted(planted.lines)}: {said}"
    outcome = {"found"}
    alone = checker_of(fault, fault.code)
    own = alone.check(planted.path, text=planted.text)
    fixes = [item for item in own.diagnostics if item.code == fault.code and item.fix] if own else []
    if not any(item.fix is not None and item.fix.applicability != "show" for item in fixes):
        return outcome, ""
    outcome.add("fixable")
    done = fix_text(alone, planted.path, planted.text, unsafe=True)
    if done is None or fault.code in {item.code for item in done.result.diagnostics}:
        reasons = sorted({item.reason for item in done.refused}) if done else []
        return outcome, f"not mended {reasons}"
    if not done.result.runs or done.result.runs[0].format != planted.format:
        return outcome, "mended into another format"
    outcome.add("fixed")
    if (problem := _careless(planted, done)) is not None:
        return outcome, problem
    return {*outcome, "careful"}, ""


def _instead(code: str) -> set[str]:
    """The codes of rules whose finding replaces this one's, as they themselves state."""
    if code not in _SUPPRESSED_BY:
        from importlib import import_module

        for other, module in CODES.items():
            if module:
                for suppressed in import_module(f"loraplan_rules.{module}").check.suppresses:
                    _SUPPRESSED_BY.setdefault(suppressed, set()).add(other)
        _SUPPRESSED_BY.setdefault(code, set())
    return _SUPPRESSED_BY[code]


_SUPPRESSED_BY: dict[str, set[str]] = {}


def _careless(planted: Planted, done: Fixed) -> str | None:
    """More values differ than the fixes name, or a comment is gone."""
    old, new = (dict(_leaves(parsed(planted.path, text), ())) for text in (planted.text, done.text))
    differing = {key for key in old.keys() | new.keys() if old.get(key, _NONE) != new.get(key, _NONE)}
    named = sum(len(item.fix.changes) for item in done.applied if item.fix is not None)
    if len(_whole(differing, old)) > 2 * named:  # a renamed key is two, and some frameworks have two keys for one field
        return f"{len(differing)} values differ after {named} changes: {sorted(map(str, differing))}"
    lost = _comments(planted.text) - _comments(done.text)
    if lost and planted.fault.code not in ("SUP001", "SUP002"):
        return f"comments lost: {sorted(lost)}"
    return None


def _whole(keys: set[tuple[Any, ...]], old: dict[tuple[Any, ...], Any]) -> set[tuple[Any, ...]]:
    """Values of a mapping that was not there count as the one mapping."""
    present = {key[:depth] for key in old for depth in range(1, len(key) + 1)}
    return {next((key[:depth] for depth in range(1, len(key) + 1) if key[:depth] not in present), key) for key in keys}


_NONE = object()


def parsed(path: str, text: str) -> Any:
    """The text as the standard parser of its syntax reads it."""
    if path.endswith(".json"):
        return json.loads(text)
    if path.endswith(".toml"):
        return tomllib.loads(text)
    return yaml.safe_load(text)


def _leaves(value: Any, path: tuple[Any, ...]) -> Any:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _comments(text: str) -> set[str]:
    return {line.partition("#")[2].strip() for line in text.splitlines() if "#" in line}
