"""Speed of the estimate: the command against `check` on one file, and estimates a second through the Python call.

Usage: python bench/estimate_speed.py [FILE.yml]

CPU seconds of the processes, the commands in turn, so that other work on the machine counts little; the ratio is what
is worth quoting. The Python call is timed over different plans: batch, length, checkpointing, quantization, optimizer.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

from loraplan import read
from loraplan.arch.sources import resolve
from loraplan.memory.model import estimate
from loraplan.memory.options import QUANTIZATIONS, with_checkpointing
from loraplan.memory.stack import stack_of

EXAMPLE = Path(__file__).parent.parent / "examples" / "qlora.yml"
ROUNDS = 15


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Print both figures."""
    path = sys.argv[1] if len(sys.argv) > 1 else str(EXAMPLE)
    commands = {"check": ["loraplan", "check", path], "estimate": ["loraplan", "estimate", path]}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(cpu_seconds(command))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"estimate / check on {Path(path).name}: {medians['estimate'] / medians['check']:.2f}")

    (reading,) = read(path)
    plan, name = reading.plan, reading.plan.model.name
    arch = resolve(name, base_dir=".", online=False, problems=[]) if name else None
    if arch is None:
        print(f"the architecture of {name} is unknown")
        return 2
    stack = stack_of(reading, {})
    plans = [
        replace(
            with_checkpointing(replace(plan, quantization=quantization), kind),
            optimizer=replace(plan.optimizer, name=optimizer),
            batch=replace(plan.batch, micro_batch_size=rows),
            data=replace(plan.data, max_length=length),
        )
        for quantization, kind, optimizer in product(
            QUANTIZATIONS.values(), ("off", "on", "offload"), ("adamw", "lion")
        )
        for rows, length in product(range(1, 9), range(256, 4097, 256))
    ]
    start = time.process_time()
    for changed in plans:
        estimate(changed, arch, stack=stack)
    spent = time.process_time() - start
    print(f"{len(plans)} different plans, each section new: {len(plans) / spent:,.0f} a second")
    again = time.process_time()
    for changed in plans:
        estimate(changed, arch, stack=stack)
    spent = time.process_time() - again
    print(f"the same once more: {len(plans) / spent:,.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
