"""Ctrl-C and SIGTERM: the step in progress is finished, a checkpoint written, the process ends cleanly."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from loraplan_trainer.failure import INTERRUPTED, TERMINATED

IMPATIENT = 1.0
"""Seconds after which a second Ctrl-C is one that somebody meant."""


class Interrupted(BaseException):
    """A signal outside training, where there is nothing to save; not an Exception, so that no library swallows it."""


class Signals:
    """Takes SIGINT and SIGTERM. The first asks training to stop; a second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._training = False
        self._when = 0.0
        # A launcher passes on to its processes what they have received already, as members of its group.
        self._launched = "TORCHELASTIC_RUN_ID" in os.environ

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
        if self.received is None:
            self.received, self._when = number, time.monotonic()
            if not self._training:
                raise Interrupted
        elif number == signal.SIGINT and not self._launched and time.monotonic() - self._when > IMPATIENT:
            raise Interrupted
