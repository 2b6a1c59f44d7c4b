"""The command side of training: from a config to a manifest, the trainer's process watched, its run reported.

Knows no torch: what needs it runs as `python -m loraplan_trainer` in its own process.
"""

from __future__ import annotations


class TrainingError(Exception):
    """Why a run cannot be prepared, started or read; the text names what, where and the remedy."""
