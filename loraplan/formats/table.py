"""The data tables in `defaults/` and the reader that applies them: key -> field, type, default, source.

A table is JSON (its parser is already loaded and twenty times faster than TOML's; see docs/decisions):

    {"framework": "axolotl", "version": "067b021", "loader": "yaml-1.1", "coerces": true,
     "unknown_keys": "ignored", "source": "https://...",
     "include": [{"table": "transformers", "prefix": "training_args", "without": ["overwrite_output_dir"]}],
     "keys": [{"key": "lora_dropout", "field": "adapter.dropout", "type": "float", "default": 0.0,
               "versions": ">=0.4", "source": "src/axolotl/utils/schemas/peft.py", "lora": true}],
     "known": {"": ["debug"], "wandb": ["project"]},
     "changed": [{"key": "warmup_ratio", "kind": "removed", "framework": "transformers", "versions": ">=5.0",
                  "effect": "raises", "use": "warmup_steps: 0.03", "source": "..."}]}

`key` is dotted where nested. Several rows may share a field (aliases; the first one written wins) or a key with other
`versions` (the first row that fits wins; newest first). `lora` marks settings that mean nothing without an adapter.
`map` replaces a value (`true` and `false` for booleans) before it is stored, null leaving the field unset; `methods`
limits a row's default, or a change, to these training methods; `without` names keys whose `changed` rows are not
inherited, because the including framework still reads them, and `fields` keeps only the rows whose field begins so.
A `changed` row with `"when": "set"` leaves null, false and empty values alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from loraplan.document import Document, Entry, KeyPath, Mapping, Node, Scalar, Sequence, Span, find
from loraplan.formats.reading import Effect, KeyIssue, Reading, ValueIssue
from loraplan.formats.spelling import edit_distance as edit_distance  # noqa: PLC0414 - rules look for it here
from loraplan.formats.spelling import nearest
from loraplan.formats.typed import EXPECTED, Problem, typed
from loraplan.formats.values import Loader, plain
from loraplan.origin import Default, Derived, Explicit, Origin
from loraplan.plan import build

_TABLES = os.path.join(os.path.dirname(__file__), "defaults")  # pathlib would cost 5 ms
Versions = dict[str, str]
"""Framework -> version, as far as the settings or a requirements file beside the config state them."""


@cache
def load_table(name: str) -> dict[str, Any]:
    """A table with its includes merged in; own rows come first, so they win."""
    with open(os.path.join(_TABLES, f"{name}.json"), "rb") as file:
        table: dict[str, Any] = json.load(file)
    for include in table.get("include", ()):
        prefix = f"{include['prefix']}." if include.get("prefix") else ""
        other = load_table(include["table"])
        own = {(row["key"], row["field"]) for row in table["keys"]}
        fields = tuple(include.get("fields", ("",)))
        stated = {name: other[name] for name in ("framework", "version", "source")}
        inherited = [
            {**stated, **row, "key": prefix + row["key"]} for row in other["keys"] if row["field"].startswith(fields)
        ]
        table["keys"] += [row for row in inherited if (row["key"], row["field"]) not in own]
        known = table.setdefault("known", {})
        for section, keys in other.get("known", {}).items():
            known.setdefault((prefix + section).rstrip("."), []).extend(keys)
        without = set(include.get("without", ()))
        table.setdefault("changed", []).extend(
            {"framework": other["framework"], **row, "key": prefix + row["key"]}
            for row in other.get("changed", ())
            if row["key"] not in without
        )
    return table


def version_in(version: str | None, spec: str | None) -> bool:
    """Whether a version meets a spec such as ">=4.46,<5"; an unknown version meets what the newest one meets."""
    if not spec or not any(mark in spec for mark in "<>="):
        return True
    if version is None:
        return "<" not in spec
    have = _release(version)
    for part in spec.split(","):
        match = re.fullmatch(r"\s*(>=|<=|==|>|<)\s*([0-9.]+)\s*", part)
        if match is None:
            raise ValueError(f"bad version spec {spec!r} in a table")
        want = _release(match[2])
        order = (have > want) - (have < want)
        ok = {">=": order >= 0, "<=": order <= 0, "==": order == 0, ">": order > 0, "<": order < 0}[match[1]]
        if not ok:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d{1,9}", version.split("+", maxsplit=1)[0])[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


class Draft:
    """A Reading under construction: fill explicit keys, let the format add what only it knows, then the defaults."""

    def __init__(
        self,
        name: str,
        table: str,
        root: Node,
        document: Document,
        signature: str,
        versions: Versions | None = None,
        *,
        scope: Mapping | None = None,
        scope_path: KeyPath = (),
    ) -> None:
        self.name = name
        self.table = load_table(table)
        self.root = root
        self.scope = scope if scope is not None else root
        """The mapping that the table's keys are relative to."""
        self.scope_path = scope_path
        self.document = document
        self.signature = signature
        self.versions = versions or {}
        self.loader: Loader = self.table["loader"] if document.syntax == "yaml" else "literal"
        self.coerces: bool = self.table.get("coerces", False) or document.syntax == "shell"
        self.values: dict[str, Any] = {}
        self.origins: dict[str, Origin] = {}
        self.key_issues: list[KeyIssue] = []
        self.value_issues: list[ValueIssue] = []
        self.lora_keys: dict[str, Span] = {}
        self.facts: dict[str, Any] = {}
        self.run_name: str | None = None
        self.switch: str | None = None
        self.hand_rolled = False
        self.used: set[str] = set()
        """Dotted keys that were read, whatever became of their value."""
        self.unreadable: set[str] = set()
        """Fields written with a value that is not known or does not fit; no default takes its place."""
        self.overrides: dict[str, Node] = {}
        """Dotted key -> the node that stands in for a list of alternatives in this run."""

    # -- looking into the file

    def node(self, key: str) -> Node | None:
        """The node at a dotted key, or None."""
        return self.overrides.get(key) or find(self.scope, tuple(key.split(".")))

    def raw(self, key: str) -> Any:
        """The value at a dotted key as the framework's loader types it; None where absent or null."""
        node = self.node(key)
        return None if node is None else plain(node, self.loader)

    def has(self, key: str) -> bool:
        """Whether a dotted key is written, even with a null value."""
        return self.node(key) is not None

    def place(self, key: str) -> Explicit | None:
        """The origin of a value written at a dotted key."""
        node = self.node(key)
        if node is None:
            return None
        path: KeyPath = tuple(key.split("."))
        holder = find(self.scope, path[:-1])
        entry: Entry | None = holder.entry(str(path[-1])) if isinstance(holder, Mapping) else None
        key_span = entry.key.span if entry else None
        return Explicit(self.document.path, self.scope_path + path, node.span, key_span, node.shared)

    # -- setting fields

    def set(self, field: str, value: Any, key: str) -> None:
        """A field from an explicit key, whatever the table says; None leaves it unset."""
        self.used.add(key)
        place = self.place(key)
        if value is not None and place is not None:
            self.values[field], self.origins[field] = value, place

    def derive(self, field: str, value: Any, fields: Iterable[str], how: str) -> None:
        """A field that follows from other fields, or from what the file is."""
        if value is not None:
            self.values[field], self.origins[field] = value, Derived(tuple(fields), how)

    def default(self, field: str, value: Any, source: str, key: str | None = None, versions: str | None = None) -> None:
        """A framework default for a field that has no value yet."""
        if value is not None and self._open(field):
            self.values[field] = value
            self.origins[field] = Default(
                self.table["framework"], versions or self.table["version"], source, key or self.key_of(field)
            )

    def _open(self, field: str) -> bool:
        """Whether a default may fill a field: not where a value is written, nor an adapter's where none is trained."""
        if field in self.values or field in self.unreadable:
            return False
        return not field.startswith("adapter.") or self.values.get("adapter.method") != "none"

    def _concerns(self, row: dict[str, Any]) -> bool:
        return "methods" not in row or self.values.get("method") in row["methods"]

    def drop(self, field: str) -> None:
        """Forget a field."""
        self.values.pop(field, None)
        self.origins.pop(field, None)

    def key_of(self, field: str) -> str | None:
        """The first key of the table that sets a field."""
        return next((row["key"] for row in self.table["keys"] if row["field"] == field), None)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The table's rows that hold for the version at hand."""
        for row in self.table["keys"]:
            framework = row.get("framework", self.table["framework"])
            if version_in(self.versions.get(framework), row.get("versions")):
                yield row

    # -- the three steps

    def fill(self) -> None:
        """Every explicit key of the table."""
        for row in self.rows():
            key, field = row["key"], row["field"]
            node = self.node(key)
            if node is None:
                continue
            self.used.add(key)
            if row.get("lora") and plain(node, self.loader, 2) not in (None, False, "", []):
                place = self.place(key)
                self.lora_keys[key] = place.key_span or node.span if place else node.span
            if not field or field in self.values:
                continue
            value = self.convert(node, row["type"], field)
            if "map" in row and isinstance(value, str | bool):
                value = row["map"].get(str(value).lower() if isinstance(value, bool) else value, value)
            if value is not None:
                self.set(field, value, key)

    def fill_defaults(self) -> None:
        """The framework's default of every field that has no value."""
        for row in self.rows():
            value, field = row.get("default"), row["field"]
            if value is not None and field and self._open(field) and self._concerns(row):
                self.values[field] = tuple(value) if isinstance(value, list) else value
                self.origins[field] = Default(
                    row.get("framework", self.table["framework"]),
                    row.get("versions") or row.get("version", self.table["version"]),
                    row.get("source", self.table["source"]),
                    row["key"],
                )

    def check_keys(self, tolerate: frozenset[str] = frozenset(), *, near_only: bool = False) -> None:
        """Unknown, renamed and removed keys, by the table's `known` and `changed`.

        With `near_only` an unknown key counts only where it is a slip of a known one, for formats whose files also
        hold the keys of the project's own script.
        """
        changed: dict[str, dict[str, Any]] = {}
        for row in self.table.get("changed", ()):
            framework = row.get("framework", self.table["framework"])
            if version_in(self.versions.get(framework), row.get("versions")) and self._concerns(row):
                changed.setdefault(row["key"], row)
        for key, row in changed.items():
            place = self.place(key)
            if place is not None:
                self.used.add(key)
                if row.get("when") == "set" and not self.raw(key):
                    continue
                self.key_issues.append(
                    KeyIssue(
                        row["kind"], key, place.key_span or place.span, row.get("framework", self.table["framework"]),
                        row["effect"], row.get("use"), row.get("versions"), row.get("source"),
                    )
                )  # fmt: skip
        self._unknown(changed, tolerate, near_only=near_only)

    def _unknown(self, changed: Iterable[str], tolerate: frozenset[str], *, near_only: bool) -> None:
        effect = self.table.get("unknown_keys")
        if effect is None:
            return
        framework = self.table["framework"]
        by_section: dict[str, set[str]] = {section: set(keys) for section, keys in self.table.get("known", {}).items()}
        for key in [row["key"] for row in self.table["keys"]] + list(changed):
            parts = key.split(".")
            for depth in range(len(parts)):  # only sections with a list of known keys are judged
                if (section := ".".join(parts[:depth])) in by_section:
                    by_section[section].add(parts[depth])
        for section, known in by_section.items():
            holder = find(self.scope, tuple(section.split("."))) if section else self.scope
            if not isinstance(holder, Mapping):
                continue
            for entry in holder.entries:
                name = entry.key.text
                dotted = f"{section}.{name}" if section else name
                if name in known or dotted in self.used or name in tolerate or name == "<<":
                    continue
                close = nearest(name, known)
                if close is not None or not near_only:
                    self.key_issues.append(KeyIssue("unknown", dotted, entry.key.span, framework, effect, close))

    def finish(self) -> Reading:
        """The finished Reading."""
        keys: dict[str, str] = {}
        for row in self.rows():
            if row["field"]:
                keys.setdefault(row["field"], row["key"])
        sections: dict[str, Mapping] = {}
        if isinstance(self.scope, Mapping):
            sections[""] = self.scope
            prefixes = {key.rpartition(".")[0] for key in keys.values()} - {""}
            for prefix in prefixes:
                section = find(self.scope, tuple(prefix.split(".")))
                if isinstance(section, Mapping):
                    sections[prefix] = section
        framework = self.table["framework"]
        return Reading(
            format=self.name,
            signature=self.signature,
            framework=framework,
            version=self.versions.get(framework),
            assumed_version=f"{framework} {self.table['version']}",
            document=self.document,
            root=self.root,
            plan=build(self.values),
            origins=self.origins,
            name=self.run_name,
            key_issues=self.key_issues,
            value_issues=self.value_issues,
            lora_keys=self.lora_keys,
            switch=self.switch,
            keys=keys,
            sections=sections,
            facts=self.facts,
            hand_rolled=self.hand_rolled,
        )

    def convert(self, node: Node, kind: str, field: str) -> Any:
        """A node as the type of its field; what does not fit becomes a value issue and None."""
        value, problem = typed(node, kind, self.loader)
        if problem is not None:
            strings_are_cast = self.coerces or self.document.syntax not in ("yaml", "json")
            if problem != "string-number" or not strings_are_cast:
                self._issue(problem, field, node, EXPECTED.get(kind, kind))
            if problem != "string-number":
                self.unreadable.add(field)
        return value

    def _issue(self, kind: Problem, field: str, node: Node, expected: str) -> None:
        text = node.text if isinstance(node, Scalar) else "[...]" if isinstance(node, Sequence) else "{...}"
        effect: Effect = "works" if kind == "unresolved" or self.hand_rolled else "raises"
        self.value_issues.append(ValueIssue(kind, field, text, node.span, expected, effect))
