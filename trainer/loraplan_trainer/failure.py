"""How a run can end, as exit codes and the exceptions that lead to them. Needs no torch."""

from __future__ import annotations

DONE = 0
BUG = 1
"""A traceback was printed: a bug in LoRAPlan or in a library."""
CANNOT_RUN = 2
"""Something in the manifest, the data, the model or the disk; nothing was lost that a checkpoint held."""
OUT_OF_MEMORY = 3
NOT_A_NUMBER = 4
"""The loss was no finite number."""
INTERRUPTED = 130
"""By Ctrl-C (SIGINT); a checkpoint was written."""
TERMINATED = 143
"""By SIGTERM; a checkpoint was written."""


class CannotRun(Exception):
    """The run cannot start or go on; the text says what is wrong, where, and the remedy."""


class NotANumber(Exception):
    """The loss is not finite; the text says at which step and what usually causes it."""
