"""Fixtures of the command side's tests; `test_run_*.py` need the `train` extra."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

collect_ignore_glob: list[str] = []
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start: threads that wait for each other spin
try:
    import torch
except ImportError:
    collect_ignore_glob.append("test_run_*.py")
else:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.trainer.tiny import make_model

    return make_model(tmp_path_factory.mktemp("model"))
