"""How far the estimate is from measured peaks.

    python bench/accuracy.py ROWS.jsonl [--rows] [--format json] [--leave-out model|source] [--write] [--tools FILE]

ROWS.jsonl has one measured run a line. Every row is mapped to a Plan by its stated fields (`measured_rows.py`).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measured_rows import Case, OutOfScope, Skipped, case, group

from loraplan import __version__
from loraplan.devices import Device, UnknownDevice, find
from loraplan.memory.fit import fit
from loraplan.memory.model import estimate
from loraplan.memory.term import Estimate, Range

GROUPS = ("gold_allocated_1gpu", "gold_allocated_multi", "gold_reserved", "silver", "silver_capped", "oom")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
"""Half width of the reserved range, of its centre."""
# Rows that the estimate gets wrong, by what they have in common.
WHY: tuple[tuple[Any, str], ...] = (
    (
        lambda item: "fused into backward" in str(item.row["optimizer"]),
        "optimizer within the backward: which gradients are alive together is approximated",
    ),
    (
        lambda item: item.case.stack.name == "litgpt" and item.case.plan.quantization.bits == 4,
        "litgpt with bitsandbytes: about half a byte a parameter is alive that no operation read explains",
    ),
    (
        lambda item: item.case.stack.name == "litgpt" and (item.row["num_gpus"] or 1) > 1,
        "litgpt FSDP: what holds whole weights beside the shards was measured, not read",
    ),
    (
        lambda item: "gpt_bigcode" in item.case.arch.model_type,
        "GPTBigCode: what holds its logits through the backward is inferred from four rows",
    ),
    (lambda item: item.case.arch.model_type == "qwen", "Qwen's own modelling code; the counter is unstated"),
    (lambda item: item.row["metric"].startswith("unknown"), "the counter is unstated"),
)


class Result(NamedTuple):
    """One row's estimate beside its measurement."""

    row: dict[str, Any]
    case: Case
    estimate: Estimate
    counter: Range
    card: Device | None

    @property
    def error(self) -> float:
        """Per cent; positive where the estimate is too high."""
        return 100 * (self.counter.expected / self.row["measured_bytes"] - 1) if self.row["measured_bytes"] else 0.0

    @property
    def inside(self) -> bool:
        """Whether the measured value lies in the stated range."""
        return bool(self.row["measured_bytes"]) and self.counter.holds(self.row["measured_bytes"])

    @property
    def above(self) -> bool:
        """Whether more was measured than the range allows."""
        return bool(self.row["measured_bytes"]) and self.row["measured_bytes"] > self.counter.high

    @property
    def refused(self) -> bool | None:
        """Whether the run is said not to fit the row's card; None where the card is unknown."""
        return None if self.card is None else fit(self.estimate, self.card).word == "does not fit"


def card(row: dict[str, Any]) -> Device | None:
    """The GPU that a row names, if it is in the table."""
    text = str(row["gpu_name"] or "")
    size = re.search(r"(\d+) ?gb", text.lower())
    name = text.split("(", maxsplit=1)[0].strip()
    for candidate in (f"{name} {size.group(1)}gb" if size and size.group(0) not in name.lower() else name, name):
        try:
            return find(candidate)
        except UnknownDevice:
            continue
    return None


def judge(row: dict[str, Any]) -> Result:
    """The estimate of a row by the counter that it was read from; raises Skipped."""
    mapped = case(row)
    device = card(row)
    found = estimate(mapped.plan, mapped.arch, device, stack=mapped.stack)
    metric = row["metric"]
    if "reserved" in metric:
        counter = found.reserved
    elif metric.startswith("unknown"):
        # Any of the counters: expected as allocated, the range from the lowest to the highest.
        counter = Range(found.allocated.low, found.allocated.expected, found.device.high)
    else:
        counter = found.allocated
    return Result(row, mapped, found, counter, device)


class Judged(NamedTuple):
    """All rows of the groups."""

    results: dict[str, list[Result]]
    skipped: dict[str, Counter[str]]
    outside: dict[str, Counter[str]]


def judge_all(rows: list[dict[str, Any]], only: str | None = None) -> Judged:
    """Every row of a group, mapped or skipped with its reason."""
    results: dict[str, list[Result]] = defaultdict(list)
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    outside: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        name = group(row)
        if name is None or (only and only not in row["id"]):
            continue
        try:
            results[name].append(judge(row))
        except OutOfScope as reason:
            outside[name][str(reason)] += 1
        except Skipped as reason:
            skipped[name][str(reason)] += 1
    return Judged(results, skipped, outside)


def summary(name: str, results: list[Result], skipped: Counter[str], outside: Counter[str]) -> dict[str, Any]:
    """Figures of one group."""
    measured = [item for item in results if item.row["measured_bytes"]]
    errors = sorted(abs(item.error) for item in measured)
    found: dict[str, Any] = {
        "rows": len(results),
        "rows_skipped": sum(skipped.values()),
        "skipped": dict(skipped),
        "out_of_scope": dict(outside),
        "median_abs_pct": round(statistics.median(errors), 3) if errors else None,
        "p90_abs_pct": round(errors[min(len(errors) - 1, int(0.9 * len(errors)))], 3) if errors else None,
        "worst_abs_pct": round(errors[-1], 3) if errors else None,
        "bias_pct": round(statistics.mean(item.error for item in measured), 3) if measured else None,
        "in_range_pct": _share([item.inside for item in measured]),
    }
    if name == "silver_capped":
        found["not_above_range_pct"] = _share([not item.above for item in measured])
    known = [item.refused for item in results if item.refused is not None]
    if name == "oom":
        found["predicted_not_to_fit_pct"] = _share(known)
        found["card_unknown"] = len(results) - len(known)
    else:
        found["ran_but_predicted_not_to_fit"] = sum(known)
    return found


def _share(values: list[bool]) -> float | None:
    return round(100 * sum(values) / len(values), 1) if values else None


def left_out(judged: Judged, key: str) -> dict[str, Any]:
    """The reserved rows of each model or source in the range.

    What the allocator adds is fitted to replays of its rules (docs/allocator.md): leaving rows out refits nothing.
    """
    rows = judged.results["gold_reserved"]
    found: dict[str, Any] = {}
    for value in sorted({item.row[key] for item in rows}):
        own = [item.inside for item in rows if item.row[key] == value]
        found[str(value)] = {"rows": len(own), "in_range_pct": _share(own)}
    return found


def page(judged: Judged, tools: dict[str, Any] | None) -> str:
    """docs/accuracy.md."""
    lines = [
        "# How accurate the estimate is",
        "",
        "Written by `python bench/accuracy.py ROWS.jsonl --write`; do not edit. The rows are measurements that others",
        f"published, none taken by this project (loraplan {__version__}). Each is mapped to a plan by its stated",
        "fields. The model was built with these rows in sight: it takes from them ranges, what some kernels keep whose",
        "source was not read, and the length of a text that is cut by characters.",
        "",
        "| group | rows | skipped | median | 90 % within | worst | bias | in range |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in GROUPS:
        row = summary(name, judged.results[name], judged.skipped[name], judged.outside[name])
        if name == "oom":
            continue
        lines.append(
            f"| {name} | {row['rows']} | {row['rows_skipped']} | {row['median_abs_pct']} % | {row['p90_abs_pct']} % |"
            f" {row['worst_abs_pct']} % | {row['bias_pct']:+} % | {row['in_range_pct']} % |"
        )
    capped = summary("silver_capped", judged.results["silver_capped"], judged.skipped["silver_capped"], Counter())
    oom = summary("oom", judged.results["oom"], judged.skipped["oom"], Counter())
    lines += [
        "",
        "`gold`: counter, config and batch shape are known. `silver`: exact shapes, counter unstated. `silver_capped`:",
        "only a cap on the length is known, and the estimate is made at the cap:",
        f"{capped['not_above_range_pct']} % of these rows are not above its range.",
        (
            f"Of {oom['rows'] - oom['card_unknown']} runs that ran out of memory on a known card"
            f" {oom['predicted_not_to_fit_pct']} % are predicted not to fit, the others called tight."
        ),
        "",
        "## By source",
        "",
        "| source | group | rows | median | worst | bias |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in GROUPS[:-1]:
        by_source: dict[str, list[Result]] = defaultdict(list)
        for item in judged.results[name]:
            by_source[item.row["source"]].append(item)
        for source, items in sorted(by_source.items()):
            row = summary(name, items, Counter(), Counter())
            lines.append(
                f"| {source} | {name} | {len(items)} | {row['median_abs_pct']} % | {row['worst_abs_pct']} % |"
                f" {row['bias_pct']:+} % |"
            )
    lines += [
        "",
        "## Reserved memory, by model and source",
        "",
        "What the allocator adds to the tensors is fitted to [replays of its rules](allocator.md), ± 12 %. Among fits",
        "that replays do not tell apart, the one with 300 MiB was taken with these rows in sight: with 200 MiB, as",
        "near, two more of them are just outside.",
        "",
        "| of | rows | in range |",
        "| --- | --- | --- |",
    ]
    for key in ("model", "source"):
        for value, row in left_out(judged, key).items():
            lines.append(f"| {key} {value} | {row['rows']} | {row['in_range_pct']} % |")
    lines += _totals(judged)
    lines += _tools(tools)
    lines += ["", "## Left out, and why", ""]
    for name in GROUPS:
        for reason, count in sorted((judged.skipped[name] + judged.outside[name]).items()):
            lines.append(f"- {name}: {count} × {reason}")
    lines += [
        "",
        "## Wrong by more than 5 %, and why",
        "",
        "| row | measured | predicted | error | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in ("gold_allocated_1gpu", "gold_allocated_multi", "gold_reserved", "silver"):
        for item in sorted(judged.results[name], key=lambda item: item.row["id"]):
            wrong = not item.inside if name == "gold_reserved" else abs(item.error) > 5
            if wrong:
                why = next((text for test, text in WHY if test(item)), "not understood")
                lines.append(
                    f"| {item.row['id']} | {item.row['measured_bytes'] / 1e9:.2f} GB |"
                    f" {item.counter.expected / 1e9:.2f} GB |"
                    f" {item.error:+.1f} % | {why} |"
                )
    return "\n".join(lines) + "\n"


def _totals(judged: Judged) -> list[str]:
    """The device's total beside what nvidia-smi showed, where a row has both."""
    lines = [
        "",
        "## What nvidia-smi showed of the same runs",
        "",
        "| group | rows | median | in range |",
        "| --- | --- | --- | --- |",
    ]
    for name in GROUPS[:2]:
        pairs = [
            (item.estimate.device, item.row["other_measured"]["nvidia_smi_bytes"])
            for item in judged.results[name]
            if (item.row["other_measured"] or {}).get("nvidia_smi_bytes")
        ]
        if pairs:
            median = statistics.median(abs(100 * (counter.expected / shown - 1)) for counter, shown in pairs)
            inside = _share([counter.holds(shown) for counter, shown in pairs])
            lines.append(f"| {name} | {len(pairs)} | {median:.1f} % | {inside} % |")
    return lines


def _tools(tools: dict[str, Any] | None) -> list[str]:
    """The same rows by other tools, from `bench/other_tools.py --format json`."""
    if not tools:
        return []
    lines = [
        "",
        "## Other tools on the same rows",
        "",
        "| tool | group | rows it can do | median | 90 % within | worst | bias |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for tool, groups in tools.get("tools", tools).items():
        for name, row in groups.items():
            if isinstance(row, dict) and row.get("rows"):
                lines.append(
                    f"| {tool} | {name} | {row['rows']} | {row['median_abs_pct']} % | {row['p90_abs_pct']} % |"
                    f" {row['worst_abs_pct']} % | {row['bias_pct']:+} % |"
                )
    return lines


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--rows", dest="each", action="store_true", help="Every row.")
    parser.add_argument("--only", help="Only rows whose id has this text.")
    parser.add_argument("--leave-out", choices=("model", "source"), help="The reserved rows of each in the range.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name}.")
    parser.add_argument("--tools", type=Path, help="JSON of bench/other_tools.py, for the page.")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines() if line.strip()]
    judged = judge_all(rows, options.only)
    if options.leave_out:
        print(json.dumps(left_out(judged, options.leave_out), indent=2))
        return 0
    table = {name: summary(name, judged.results[name], judged.skipped[name], judged.outside[name]) for name in GROUPS}
    if options.write:
        tools = json.loads(options.tools.read_text("utf-8")) if options.tools else None
        PAGE.write_text(page(judged, tools), "utf-8")
    if options.format == "json":
        print(json.dumps(table, indent=2))
        return 0
    if options.each:
        for name in GROUPS:
            for item in sorted(judged.results[name], key=lambda result: result.row["id"]):
                print(
                    f"{name:22} {item.row['id'][:70]:70} {(item.row['measured_bytes'] or 0) / 1e9:8.3f}"
                    f" {item.counter.expected / 1e9:8.3f} {item.error:+7.2f} % {item.estimate.peak.name:9}"
                    f" {'in' if item.inside else 'OUT'}"
                )
    for name, values in table.items():
        print(name, json.dumps(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
