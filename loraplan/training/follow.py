"""The trainer's log, read while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from loraplan_trainer.events import FILE_NAME, Event

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


class Follower:
    """Yields the records that came since it was last asked; a line that is still being written waits."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._position = 0

    def skip(self) -> None:
        """Pass over what is there: the records of the run before its resumption."""
        if self._path.exists():
            self._position = self._path.read_bytes().rfind(b"\n") + 1

    def new(self) -> Iterator[Event]:
        """The new whole records, in order; a line that is none is passed over. Raises OSError."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            try:
                yield _EVENT.validate_json(line)
            except ValidationError:  # written by another version, or by somebody else
                continue
