"""How far the estimate is from measured peaks: `python bench/accuracy.py ROWS.jsonl [--write] [--format json]`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measured_rows import Case, OutOfScope, Skipped, case, group

from loraplan.memory.model import estimate
from loraplan.memory.term import Estimate

GROUPS = ("gold_allocated_1gpu", "gold_allocated_multi", "gold_reserved", "silver", "silver_capped", "oom")


class Result(NamedTuple):
    """One row's estimate beside its measurement."""

    row: dict[str, Any]
    case: Case
    estimate: Estimate
    predicted: int
    low: int
    high: int

    @property
    def error(self) -> float:
        """Per cent; positive where the estimate is too high."""
        return 100 * (self.predicted / self.row["measured_bytes"] - 1) if self.row["measured_bytes"] else 0.0

    @property
    def inside(self) -> bool:
        """Whether the measured value lies in the stated range."""
        return bool(self.row["measured_bytes"]) and self.low <= self.row["measured_bytes"] <= self.high


def judge(row: dict[str, Any], name: str) -> Result:
    """The estimate of a row; raises Skipped."""
    mapped = case(row)
    found = estimate(mapped.plan, mapped.arch, stack=mapped.stack)
    counter = found.allocated
    if name == "gold_reserved" or (name in ("silver_capped",) and "reserved" in row["metric"]) or (name == "silver" and "reserved" in row["metric"]):
        counter = found.reserved
    return Result(row, mapped, found, counter.expected, counter.low, counter.high)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--rows", dest="each", action="store_true", help="Every row.")
    parser.add_argument("--only", help="Only rows whose id has this text.")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines() if line.strip()]
    results: dict[str, list[Result]] = defaultdict(list)
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    outside: Counter[str] = Counter()
    for row in rows:
        name = group(row)
        if name is None or (options.only and options.only not in row["id"]):
            continue
        try:
            results[name].append(judge(row, name))
        except OutOfScope as reason:
            outside[f"{name}: {reason}"] += 1
        except Skipped as reason:
            skipped[name][str(reason)] += 1
    table = {name: summary(results[name], skipped[name]) for name in GROUPS}
    if options.format == "json":
        print(json.dumps(table, indent=2))
        return 0
    if options.each:
        for name in GROUPS:
            for item in sorted(results[name], key=lambda result: result.row["id"]):
                print(f"{name:22} {item.row['id'][:70]:70} {(item.row['measured_bytes'] or 0) / 1e9:8.3f} {item.predicted / 1e9:8.3f} {item.error:+7.2f} % {item.estimate.peak.name:9} {'in' if item.inside else 'OUT'}")
    for name, values in table.items():
        print(name, json.dumps(values))
    return 0


def summary(results: list[Result], skipped: Counter[str]) -> dict[str, Any]:
    """Figures of one group."""
    errors = sorted(abs(item.error) for item in results if item.row["measured_bytes"])
    signed = [item.error for item in results if item.row["measured_bytes"]]
    return {
        "rows": len(results),
        "rows_skipped": sum(skipped.values()),
        "skipped": dict(skipped),
        "median_abs_pct": round(statistics.median(errors), 3) if errors else None,
        "p90_abs_pct": round(errors[min(len(errors) - 1, int(0.9 * len(errors)))], 3) if errors else None,
        "worst_abs_pct": round(errors[-1], 3) if errors else None,
        "bias_pct": round(statistics.mean(signed), 3) if signed else None,
        "in_range_pct": round(100 * sum(item.inside for item in results) / len(errors), 1) if errors else None,
    }


if __name__ == "__main__":
    sys.exit(main())
