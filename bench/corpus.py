"""What `check` says of a folder of real configs: recognition, hits per rule on official and wild files.

Usage: python bench/corpus.py CORPUS [--preview] [--list]

CORPUS holds INDEX.tsv (columns: format, file, ..., is_lora, is_qlora, official) and one folder a format. `--list`
prints each error and warning on an official file, to be checked by hand.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

# The index's names of formats, where they differ.
NAMES = {
    "peft-adapter": "peft",
    "trl-yaml": "trl",
    "open-instruct-yaml": "open-instruct",
    "hf-json": "hf-args",
    "custom-yaml": "custom",
    "chatglm-yaml": "chatglm",
    "llm-toolkit-yaml": "llm-toolkit",
    "qlora-pipe-toml": "qlora-pipe",
    "unsloth-yaml": "unsloth",
}


def main(arguments: list[str]) -> int:
    """Print the tables."""
    corpus = Path(arguments[0])
    with (corpus / "INDEX.tsv").open(encoding="utf-8") as lines:
        rows = {
            str(corpus / row["format"] / row["file"]): row
            for row in csv.DictReader(lines, delimiter="\t")
            if (corpus / row["format"] / row["file"]).exists()
        }
    command = [sys.executable, "-m", "loraplan", "check", "--isolated", "--format", "json", "--exit-zero", *rows]
    done = subprocess.run(
        [*command, *(["--preview"] if "--preview" in arguments else [])], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    official = {path for path, row in rows.items() if row["official"] == "1"}

    formats = {entry["path"]: {run["format"] for run in entry["runs"]} for entry in report["files"]}
    wrong = {
        path: sorted(formats.get(path, set())) or ["unrecognised"]
        for path, row in rows.items()
        if formats.get(path, set()) != {NAMES.get(row["format"], row["format"])}
    }
    right = len(rows) - len(wrong)
    print(f"{len(rows)} files, {right} ({right / len(rows):.1%}) recognised as the index names them")
    for path, names in wrong.items():
        print(f"  {Path(path).relative_to(corpus)}: {', '.join(names)}")
    for error in report["errors"]:
        print(f"  error: {error}")

    hits: dict[tuple[str, str], dict[bool, set[str]]] = defaultdict(lambda: {True: set(), False: set()})
    touched: dict[str, set[str]] = defaultdict(set)
    for finding in report["findings"]:
        path = finding["path"]
        hits[finding["code"], finding["severity"]][path in official].add(path)
        if path in official:
            touched[finding["severity"]].add(path)
    wild = len(rows) - len(official)
    print(
        f"\n| rule | severity | official files of {len(official)} | wild files of {wild} |\n| --- | --- | --- | --- |"
    )
    for (code, severity), sides in sorted(hits.items()):
        print(f"| {code} | {severity} | {len(sides[True])} | {len(sides[False])} |")
    for severity in ("error", "warning", "info"):
        share = len(touched[severity]) / len(official)
        print(f"official files with a finding of severity {severity}: {len(touched[severity])} ({share:.1%})")
    skipped = Counter(entry["reason"] for entry in report["skipped"])
    print("rules skipped: " + ", ".join(f"{reason} ({count})" for reason, count in skipped.most_common(8)))
    if "--list" in arguments:
        for finding in report["findings"]:
            if finding["path"] in official and finding["severity"] != "info":
                where = f"{Path(finding['path']).relative_to(corpus)}:{finding['line']}:{finding['column']}"
                print(f"- {finding['severity']} {finding['code']} {where}: {finding['message']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
