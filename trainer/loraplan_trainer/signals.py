"""Ctrl-C and SIGTERM: the step in progress is finished, a checkpoint written, the process ends cleanly."""

from __future__ import annotations

import signal
from types import FrameType

from loraplan_trainer.failure import INTERRUPTED, TERMINATED


class Interrupted(BaseException):
    """A signal outside training, where there is nothing to save; not an Exception, so that no library swallows it."""


class Signals:
    """Takes SIGINT and SIGTERM. The first asks training to stop; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._training = False

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)

    def training(self, *, active: bool) -> None:
        """While training is active a signal waits for the end of the step; otherwise it raises Interrupted."""
        self._training = active
        if active and self.received is not None:
            raise Interrupted

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.received == signal.SIGINT else TERMINATED

    def _take(self, number: int, _frame: FrameType | None) -> None:
        again = self.received is not None
        self.received = self.received or number
        if not self._training:
            raise Interrupted
        if again and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise Interrupted
