"""What a check yields, as plain data: placed findings, skips, failures, and what was recognised in each file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from loraplan.document import Position, Span
from loraplan.origin import Origin
from loraplan.rule import Fix, Severity

if TYPE_CHECKING:
    from loraplan.formats.reading import Reading


class Diagnostic(NamedTuple):
    """A finding with its rule's facts and its place in the file."""

    path: str
    line: int
    column: int
    code: str
    name: str
    severity: Severity
    message: str
    end_line: int
    end_column: int
    span: Span
    why: str
    remedy: str
    field: str | None
    key: str | None
    origin: Origin | None
    fix: Fix | None
    source: str
    """The line of the file that it points at, without its ending."""
    run: str | None
    """Which run of the file, where it describes several."""


class Skipped(NamedTuple):
    """A rule that could not judge a run, and what it lacked."""

    path: str
    code: str
    name: str
    need: str
    reason: str
    run: str | None


class Failure(NamedTuple):
    """Something that could not be checked; makes the exit code 2."""

    path: str
    kind: Literal["unreadable", "not-a-config", "settings", "bug"]
    message: str
    remedy: str
    position: Position | None = None
    details: tuple[str, ...] = ()
    """Further lines: signatures looked for, a traceback's end, versions."""


class Recognised(NamedTuple):
    """One run that a file describes, in the words a person would use."""

    format: str
    signature: str
    framework: str
    version: str | None
    assumed_version: str
    name: str | None
    model: str | None
    summary: str
    """`QLoRA r=32 on meta-llama/Llama-3.1-8B`."""


@dataclass(slots=True, repr=False, eq=False)
class FileResult:
    """All that checking one file gave."""

    path: str
    runs: list[Recognised] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    suppressed: int = 0
    """Findings that a comment in the file silenced."""
    read: "Callable[[str | None], list[Reading]] | None" = None
    """The runs of the text that was checked (None) or of another in its place, for reports that carry fixes."""


@dataclass(slots=True, repr=False, eq=False)
class Outcome:
    """All that one invocation gave."""

    files: list[FileResult] = field(default_factory=list)
    unrecognised: int = 0
    """Files found by searching directories that are no training config."""
    fail_on: Severity = "warning"
    exit_zero: bool = False

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Every finding, by path, line, column and code."""
        return sorted((item for file in self.files for item in file.diagnostics), key=lambda item: item[:7])

    @property
    def skipped(self) -> list[Skipped]:
        return [item for file in self.files for item in file.skipped]

    @property
    def failures(self) -> list[Failure]:
        return [item for file in self.files for item in file.failures]

    @property
    def recognised(self) -> int:
        """Files in which a run was recognised."""
        return sum(1 for file in self.files if file.runs)

    @property
    def suppressed(self) -> int:
        return sum(file.suppressed for file in self.files)

    def count(self, severity: Severity) -> int:
        """How many findings have a severity."""
        return sum(1 for file in self.files for item in file.diagnostics if item.severity == severity)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 a finding at or above the threshold, 2 something could not be checked."""
        if any(file.failures for file in self.files):
            return 2
        if self.exit_zero:
            return 0
        failing = {"info": ("info", "warning", "error"), "warning": ("warning", "error"), "error": ("error",)}
        wanted = failing[self.fail_on]
        return int(any(item.severity in wanted for file in self.files for item in file.diagnostics))
