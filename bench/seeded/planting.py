"""Which files a fault is planted into, and why it is not planted into others."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from loraplan.context import Inputs
from loraplan.document import DocumentError
from loraplan.engine import Checker, Overrides
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.plan import get
from seeded.fault import Fault, Planted, Take, Write
from seeded.text import plant

PER_HALF = 3
"""Files of one format and one half that a fault is planted into."""
HALVES = ("tuning", "held out")


class File(NamedTuple):
    """A good file of the corpus."""

    path: str
    format: str
    half: str
    text: str


def files(corpus: Path) -> list[File]:
    """Every file that can be read as one run of a framework; the half is the parity of its content's hash."""
    checker = Checker(Inputs(), Overrides(isolated=True))
    found = []
    for path in sorted(path for path in corpus.glob("*/*") if path.is_file()):
        data = path.read_bytes()
        try:
            reading = read(checker, str(path), data.decode())
        except UnicodeDecodeError:
            continue
        if reading is not None and not reading.hand_rolled:
            half = HALVES[hashlib.sha256(data).digest()[0] % 2]
            found.append(File(str(path), reading.format, half, data.decode()))
    return found


def read(checker: Checker, path: str, text: str) -> Reading | None:
    """The one run of a text, or None."""
    try:
        readings = checker.read(path, text=text)[1]
    except (DocumentError, NotAConfig):
        return None
    return readings[0] if len(readings) == 1 else None


def checker_of(fault: Fault, *codes: str) -> Checker:
    """A checker of every rule, or of the codes alone, with what the fault needs to be known."""
    return Checker(Inputs(**fault.inputs), Overrides(isolated=True, preview=True, select=codes or None))


def planted(fault: Fault, corpus: list[File], left_out: Counter[tuple[str, str]]) -> Iterator[tuple[File, Planted]]:
    """The fault in the first files of each format and half; every file passed over is counted with its reason."""
    alone = checker_of(fault, fault.code)
    count: Counter[tuple[str, str]] = Counter()
    for file in corpus:
        if count[file.format, file.half] == PER_HALF:
            continue
        found = _in(fault, file, alone)
        if isinstance(found, str):
            left_out[fault.code, found] += 1
        else:
            count[file.format, file.half] += 1
            yield file, found


def _in(fault: Fault, file: File, alone: Checker) -> Planted | str:
    before = read(alone, file.path, file.text)
    if before is None:
        return "cannot be read"
    for need in fault.needs:
        if need.holds(before.plan, before):
            return need.reason
    text = fault.text(file.text) if fault.text else plant(before, fault.changes)
    if text is None or text == file.text:
        return "no place to write it"
    result = alone.check(file.path, text=file.text)
    if result is not None and any(item.code == fault.code for item in result.diagnostics):
        return "the rule reports the file as it is"
    after = read(alone, file.path, text)
    if after is None or after.format != before.format:
        return "not read as the same format any more"
    if not all(_holds(after, change) for change in fault.changes):
        return "the format says it in other words"
    return Planted(fault, file.format, file.path, file.text, text, _lines(fault, file.text, text, after))


def _holds(after: Reading, change: Write | Take) -> bool:
    if isinstance(change, Take):
        return after.explicit(change.field) is None
    return after.explicit(change.field) is not None and bool(get(after.plan, change.field) == change.value)


def _lines(fault: Fault, before: str, text: str, after: Reading) -> frozenset[int]:
    lines = changed(before, text)
    fields = [change.field for change in fault.changes if isinstance(change, Write)]
    for field in (*fields, *fault.also):
        place = after.explicit(field)
        if place is not None:
            first = after.document.position((place.key_span or place.span).start).line
            lines |= set(range(first, after.document.position(max(place.span.start, place.span.end - 1)).line + 1))
    if fault.code == "CFG005":  # of two equal lines either is the second one
        lines |= {line + 1 for line in lines}
    return frozenset(lines)


def changed(old: str, new: str) -> set[int]:
    """The lines of the new text that are not the old text's, and those beside a removed one."""
    lines: set[int] = set()
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "delete":
            lines |= {start, start + 1}
        elif tag != "equal":
            lines |= set(range(start + 1, end + 1))
    return lines
