"""Plants faults into good configs and asks whether each is found at its line and mended.

Usage: python bench/seeded CORPUS [--list] [--left-out]

CORPUS has one folder a format. Each fault is one to three plain text edits of a file that its rule has nothing to say
of. Where a fault may be planted was decided with the files of one half in view, by the hash of their content; the other
half is reported by itself. `--list` names what was missed, `--left-out` counts the files passed over, by reason.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

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
    formats = sum(1 for key in counts if key.startswith("format "))
    print(f"{len(FAULTS) - len(never)} of {len(FAULTS)} faults in {formats} formats, {len(corpus)} files")
    columns = ("planted", *OUTCOMES)
    print(f"{'':28}" + "".join(f"{column:>9}" for column in columns))
    for key in sorted(counts):
        print(f"{key:28}" + "".join(f"{counts[key][column]:9}" for column in columns))
    for name in (*(f"half {half}" for half in HALVES), "all"):
        row = counts[name]
        print(
            f"{name}: {row['found'] / row['planted']:.1%} found,"
            f" {row['fixed'] / max(1, row['fixable']):.1%} of the fixable mended,"
            f" {row['careful'] / max(1, row['fixed']):.1%} of those in nothing else"
        )
    if "--list" in arguments:
        print(*missed, sep="\n")
        print("never planted:", *(never or ["none"]), sep="\n  ")
    if "--left-out" in arguments:
        print("\n| rule | files passed over | because |\n| --- | --- | --- |")
        for (code, reason), count in sorted(left_out.items()):
            print(f"| {code} | {count} | {reason} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
