"""Counting what the data hold, row by row. Knows no files and no tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from loraplan_trainer.data.encode import IGNORED, Encoded
from loraplan_trainer.data.rows import Row
from loraplan_trainer.events import Broken, DataStatistics, Event
from loraplan_trainer.failure import CannotRun

SHOWN = 10
"""Broken rows that a message names."""
LOGGED = 100
"""Broken rows of one role that the log names; the rest are counted."""


@dataclass
class Tally:
    """The figures of one role's data."""

    role: Literal["train", "eval"]
    cap: int | None
    report: Callable[[Event], None]
    """Where broken rows go."""
    cuts: bool = True
    """A sequence over the cap loses its end; packing may split it instead."""
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    longest: int = 0
    over: int = 0
    empty: int = 0
    example: str | None = None
    forms: set[str] = field(default_factory=set)
    broken: list[Row] = field(default_factory=list)
    broken_count: int = 0

    def add(self, encoded: Encoded) -> None:
        length = len(encoded.input_ids)
        kept = encoded.labels if self.cap is None or not self.cuts else encoded.labels[: self.cap]
        trained = len(kept) - kept.count(IGNORED)
        self.trained += trained
        self.empty += trained == 0
        self.add_length(length)

    def add_length(self, *lengths: int) -> None:
        """An example by the lengths of its sequences: one, or the two of a pair."""
        self.rows += 1
        self.tokens += sum(lengths)
        self.longest = max(self.longest, *lengths)
        self.over += self.cap is not None and self.cuts and max(lengths) > self.cap

    def add_broken(self, row: Row, reason: str) -> None:
        self.broken_count += 1
        if len(self.broken) < LOGGED:
            self.broken.append(row._replace(fault=reason))
            self.report(Broken(source=row.source, line=row.line, reason=reason))

    def refuse_broken(self) -> None:
        """Raises CannotRun where rows are broken, naming the first of them."""
        if not self.broken_count:
            return
        named = "\n".join(f"  {row.place}: {row.fault}" for row in self.broken[:SHOWN])
        more = f"\n  and {self.broken_count - SHOWN} more" if self.broken_count > SHOWN else ""
        raise CannotRun(
            f"{self.broken_count} of {self.rows + self.broken_count} rows hold no example:\n{named}{more}\n"
            "mend them, or go on without them: broken_rows skip"
        )

    def statistics(self, sources: tuple[str, ...], *, pairs: bool = False, sampled: bool = False) -> DataStatistics:
        return DataStatistics(
            role=self.role,
            sources=sources,
            forms=tuple(sorted(self.forms)),
            rows=self.rows,
            broken=self.broken_count,
            tokens=self.tokens,
            longest=self.longest,
            trained_tokens=None if pairs else self.trained,
            truncated=self.over / self.rows if self.rows else 0.0,
            empty=self.empty,
            sampled=sampled,
            example=self.example,
        )
