"""What reading a config yields: the Plan, the origin of every value, and what the reader noticed on the way."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from loraplan.document import Document, Mapping, Node, Span
from loraplan.origin import Default, Explicit, Origin
from loraplan.plan import Plan

Effect = Literal["raises", "ignored", "works"]
"""What the framework does with it."""


class KeyIssue(NamedTuple):
    """A key the framework does not read as written (rules CFG001 and CFG003)."""

    kind: Literal["unknown", "removed", "renamed", "deprecated"]
    key: str
    span: Span
    framework: str
    effect: Effect
    suggestion: str | None = None
    """The right key, or for `removed`/`renamed` the key (and value) to use instead."""
    since: str | None = None
    """For removed, renamed, deprecated: the framework version from which this holds, e.g. "transformers 5.0"."""
    source: str | None = None


class ValueIssue(NamedTuple):
    """A value the framework's loader types otherwise than the user meant, or cannot use at all."""

    kind: Literal["string-number", "wrong-type", "unresolved"]
    field: str
    text: str
    span: Span
    expected: str
    effect: Effect
    """Hand-rolled files, whose loader is unknown, have "works"."""


@dataclass(slots=True, eq=False, repr=False)
class Reading:
    """One run as one config describes it. `origins` has an entry for every field of `plan` that is not None."""

    format: str
    signature: str
    framework: str
    version: str | None
    """The framework's version where the config or its surroundings state it; None is assumed newest."""
    assumed_version: str
    """What the tables describe when `version` is None, e.g. "transformers 5.23.0"."""
    document: Document
    root: Node
    plan: Plan
    origins: dict[str, Origin]
    name: str | None = None
    """Which run, where a file describes several: a shell command's line, a scenario's name."""
    key_issues: list[KeyIssue] = field(default_factory=list)
    value_issues: list[ValueIssue] = field(default_factory=list)
    lora_keys: dict[str, Span] = field(default_factory=dict)
    """Keys of LoRA settings written in the file (for CFG004), with their spans."""
    switch: str | None = None
    """How this format turns LoRA on (`use_peft: true`), for CFG004's remedy."""
    keys: dict[str, str] = field(default_factory=dict)
    """Field -> the key a user of this format would write (`adapter.r` -> `lora_r`), dotted where nested."""
    sections: dict[str, Mapping] = field(default_factory=dict)
    """Dotted key prefix -> the mapping in the file, to place findings about absent keys; "" is the root."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Few format-specific facts that rules ask for by name; each is documented where it is set."""
    hand_rolled: bool = False
    """No framework stands behind the keys: absence of a key means nothing."""

    def explicit(self, name: str) -> Explicit | None:
        """The place where a field was written, or None if it was not."""
        origin = self.origins.get(name)
        return origin if isinstance(origin, Explicit) else None

    def default(self, name: str) -> Default | None:
        """The framework default that a field has, or None."""
        origin = self.origins.get(name)
        return origin if isinstance(origin, Default) else None

    def span(self, name: str) -> Span:
        """Where to point for a field: its value, else the head of the section where its key would stand."""
        origin = self.origins.get(name)
        if isinstance(origin, Explicit):
            return origin.span
        if self.document.syntax == "shell":
            return self.root.span
        key = (origin.key if isinstance(origin, Default) and origin.key else None) or self.keys.get(name, "")
        prefix = key.rpartition(".")[0]
        while prefix not in self.sections and prefix:
            prefix = prefix.rpartition(".")[0]
        section = self.sections.get(prefix)
        if self.document.syntax == "python":
            if section is None or section.call is None:
                return self.root.span
            return Span(section.span.start, section.span.start + len(section.call))
        if section is not None and section.entries:
            return section.entries[0].key.span
        return self.root.span

    def key(self, name: str) -> str:
        """The key a user of this format writes for a field, for messages."""
        if name in self.keys:
            return self.keys[name]
        origin = self.origins.get(name)
        if isinstance(origin, Explicit) and origin.key_path:
            return ".".join(map(str, origin.key_path))
        return origin.key if isinstance(origin, Default) and origin.key else name
