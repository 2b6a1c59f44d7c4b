"""Plants faults into good configs and asks whether each is found at its line and mended.

Usage: python bench/seeded CORPUS [--list] [--left-out] [--write docs/results.md]

CORPUS has one folder a format. Each fault is one to three plain text edits of a file that its rule has nothing to say
of. Where a fault may be planted was decided with the files of one half in view, by the hash of their content; the other
half is reported by itself. `--list` names what was missed, `--left-out` counts the files passed over, by reason.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from section import replace

from seeded.faults import FAULTS
from seeded.judging import OUTCOMES, judge
from seeded.planting import HALVES, files, planted


def main(arguments: list[str]) -> int:
    """Print the tables."""
    corpus = files(Path(arguments[0]))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    left_out: Counter[tuple[str, str]] = Counter()
    missed: list[str] = []
    never: list[str] = []
    for fault in FAULTS:
        planted_at_all = False
        for file, one in planted(fault, corpus, left_out):
            planted_at_all = True
            outcome, problem = judge(one)
            for key in (f"rule {fault.code}", f"format {file.format}", f"half {file.half}", "all"):
                counts[key].update(["planted", *outcome])
            if problem:
                name = Path(file.path).relative_to(arguments[0])
                missed.append(f"{file.half}: {fault.code} {fault.what}: {name}: {problem}")
        if not planted_at_all:
            never.append(f"{fault.code} {fault.what}")
    report = _report(counts, len(FAULTS) - len(never), len({fault.code for fault in FAULTS}), len(corpus))
    print(*report, sep="\n")
    passed = ["| rule | files passed over | because |", "| --- | --- | --- |"]
    passed += [f"| {code} | {count} | {reason} |" for (code, reason), count in sorted(left_out.items())]
    if "--list" in arguments:
        print("", *missed, "never planted:", *(f"  {name}" for name in never or ["none"]), sep="\n")
    if "--left-out" in arguments:
        print("", *passed, sep="\n")
    if "--write" in arguments:
        own = [line for line in passed if not line.endswith((*(f"| {word} |" for word in _EVERYWHERE),))]
        replace(arguments[arguments.index("--write") + 1], "seeded", [*report, "", *own])
    return 0


# Reasons that have nothing to do with what is a fault.
_EVERYWHERE = (
    "no place to write it",
    "the format says it in other words",
    "the rule reports the file as it is",
    "cannot be read",
    "not read as the same format any more",
    "no LoRA is trained",
)


def _report(counts: dict[str, Counter[str]], faults: int, rules: int, corpus: int) -> list[str]:
    columns = ("planted", *OUTCOMES)
    formats = [key for key in sorted(counts) if key.startswith("format ")]
    halves = [f"half {half}" for half in HALVES]
    rows = [f"{faults} faults of {rules} rules in {corpus} files of {len(formats)} formats", ""]
    rows += ["| | " + " | ".join(columns) + " | found | of the fixable mended | of those in nothing else |"]
    rows += ["| --- " * (len(columns) + 4) + "|"]
    for key in (*halves, "all", *formats, *(key for key in sorted(counts) if key.startswith("rule "))):
        row = counts[key]
        shares = [_share(row["found"], row["planted"]), _share(row["fixed"], row["fixable"])]
        shares.append(_share(row["careful"], row["fixed"]))
        figures = [f"{row[column]:,}" for column in columns]
        rows.append(
            f"| {key.removeprefix('rule ').removeprefix('format ')} | " + " | ".join((*figures, *shares)) + " |"
        )
    return rows


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
