"""All that a rule imports: `rule`, `Context`, `Finding`, `Fix`, `Set`, `Remove`, `Evidence`, `Skip`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from loraplan.document import Span
from loraplan.plan import Plan
from loraplan.record import record

if TYPE_CHECKING:
    from loraplan.arch.match import Matched
    from loraplan.arch.spec import ArchSpec
    from loraplan.devices import Device
    from loraplan.formats.reading import Reading
    from loraplan.memory.term import Estimate

Severity = Literal["error", "warning", "info"]
Applicability = Literal["safe", "unsafe", "show"]
"""safe: what the runtime already does or the user plainly meant; unsafe: training changes; show: never written."""
Need = Literal["arch", "dataset", "gpu", "baseline"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


class Evidence(NamedTuple):
    """What a claim rests on: `what` in words, `url` or file, and the version or kind of check."""

    what: str
    url: str
    checked: str = ""


class Set(NamedTuple):
    """Write a field of the Plan."""

    field: str
    value: Any


class Remove(NamedTuple):
    """Remove a field's key."""

    field: str


class RenameKey(NamedTuple):
    """Replace a key's name (and its value, where given) at a span of the document."""

    span: Span
    key: str
    value: Any = None


Change = Set | Remove | RenameKey


class Fix(NamedTuple):
    """A remedy as changes of fields; `title` is an imperative: `set lora_alpha to 128`."""

    title: str
    changes: tuple[Change, ...]
    applicability: Applicability


@record(eq=False)
class Finding:
    """One thing a rule reports. `message` gives value and consequence, `remedy` what to write instead."""

    message: str
    at: str | Span
    """The field it is about, or a span of the document."""
    remedy: str = ""
    severity: Severity | None = None
    """Where it differs from the rule's own."""
    why: str | None = None
    """Where it differs from the rule's own sentence."""
    fix: Fix | None = None
    preview: bool = False
    """A band of a default rule that only the preview set shows."""


class Skip(Exception):
    """A rule cannot judge: the reason, e.g. `dataset size unknown`. Counted, never taken as passed."""

    def __init__(self, need: Need | str, reason: str) -> None:
        super().__init__(reason)
        self.need = need
        self.reason = reason


class Context(Protocol):
    """What a rule may ask for besides the Plan. The properties that may be missing raise Skip."""

    reading: Reading
    options: SimpleNamespace
    """This rule's options: its defaults, overlaid with the settings."""

    @property
    def arch(self) -> ArchSpec:
        """The base model's architecture; raises Skip where unknown."""

    @property
    def arch_or_none(self) -> ArchSpec | None:
        """The architecture, or None; asking does not count as a skip."""

    @property
    def matched(self) -> Matched:
        """The modules that the adapter's targets match; raises Skip where the architecture is unknown."""

    @property
    def dataset_size(self) -> int:
        """Training examples; raises Skip where unknown."""

    @property
    def dataset_size_or_none(self) -> int | None: ...

    @property
    def gpu(self) -> Device:
        """The card named with --gpu; raises Skip where none is."""

    @property
    def gpu_or_none(self) -> Device | None: ...

    @property
    def estimate(self) -> Estimate:
        """Predicted peak memory of the run; raises Skip where the architecture is unknown."""

    @property
    def baseline(self) -> Reading:
        """The same config's earlier version; raises Skip where there is none."""

    def explicit(self, *names: str) -> bool:
        """Whether every field named was written by the user."""

    def version(self, framework: str) -> str | None:
        """The framework's version where it is known; None means newest assumed."""

    def key(self, name: str) -> str:
        """The key a user of this format writes for a field."""

    def said(self, name: str) -> str:
        """A field with where its value comes from, for messages: `lora_alpha 16` or `lora_alpha 8 (peft default)`."""


Check = Callable[[Plan, Context], Iterable[Finding]]


@record(eq=False)
class Rule:
    """A rule as the engine sees it; its page is the docstring of the module that `check` stands in."""

    code: str
    name: str
    severity: Severity
    why: str
    """One sentence, printed under every finding."""
    reads: tuple[str, ...]
    """Fields of the Plan it depends on."""
    needs: tuple[Need, ...]
    """Inputs besides the Plan without which it is skipped."""
    evidence: tuple[Evidence, ...]
    since: str
    preview: bool
    options: dict[str, Any]
    """Option -> default."""
    suppresses: tuple[str, ...]
    """Codes whose findings on the same run this rule's finding replaces."""
    hand_rolled: bool
    """Runs on hand-rolled files too (a rule about absent keys must not)."""
    without_adapter: bool
    """Runs on full fine-tuning too."""
    check: Check = field(repr=False)


def rule(
    *,
    code: str,
    name: str,
    severity: Severity,
    why: str,
    reads: tuple[str, ...],
    evidence: tuple[Evidence, ...],
    needs: tuple[Need, ...] = (),
    since: str = "0.1",
    preview: bool = False,
    options: dict[str, Any] | None = None,
    suppresses: tuple[str, ...] = (),
    hand_rolled: bool = True,
    without_adapter: bool = False,
) -> Callable[[Check], Rule]:
    """Make a check function a Rule; nothing is registered, `CODES` in the rule package names the module."""

    def wrap(check: Check) -> Rule:
        return Rule(
            code, name, severity, why, reads, needs, evidence, since, preview,
            options or {}, suppresses, hand_rolled, without_adapter, check,
        )  # fmt: skip

    return wrap


Checked = Iterator[Finding]
