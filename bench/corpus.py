"""What `check` says of a folder of real configs: recognition, hits per rule on official and wild files, hand-checked.

Usage: python bench/corpus.py CORPUS [--preview] [--list] [--write docs/results.md]

CORPUS holds INDEX.tsv (columns: format, file, ..., is_lora, is_qlora, official) and one folder a format. `checked.json`
beside this script has a verdict for findings that somebody read against the file and its framework, by the hash of the
file's content, rule and line. `--list` prints each error and warning on an official file with its verdict. The exit
code is 1 where an error or a warning on an official file is not checked or not true, or more than one official file in
ten has a warning.
"""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from section import replace

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
    verdicts = Verdicts()
    counts: dict[tuple[str, str], Counter[tuple[bool, str]]] = defaultdict(Counter)
    unsure: list[str] = []
    for finding in report["findings"]:
        on_official, verdict = finding["path"] in official, verdicts.of(finding)
        if verdict is not None:
            counts[finding["code"], finding["severity"]].update([(on_official, "checked")])
            if verdict["true"]:
                counts[finding["code"], finding["severity"]].update([(on_official, "true")])
        if on_official and finding["severity"] != "info" and (verdict is None or not verdict["true"]):
            unsure.append(f"{finding['severity']} {finding['code']} {finding['path']}:{finding['line']}")
    wild = len(rows) - len(official)
    table = [
        f"| rule | severity | official files of {len(official)} | wild files of {wild} | findings checked | true |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (code, severity), sides in sorted(hits.items()):
        seen = counts[code, severity]
        checked, true = (seen[True, word] + seen[False, word] for word in ("checked", "true"))
        table.append(f"| {code} | {severity} | {len(sides[True])} | {len(sides[False])} | {checked} | {true} |")
    table.append("")
    for severity in ("error", "warning", "info"):
        share = len(touched[severity]) / len(official)
        table.append(f"- official files with a finding of severity {severity}: {len(touched[severity])} ({share:.1%})")
    print("", *table, sep="\n")
    if "--write" in arguments:
        listed = ["", "| file | finding | verdict | because |", "| --- | --- | --- | --- |"]
        for finding in report["findings"]:
            if finding["path"] in official and finding["severity"] != "info":
                verdict = verdicts.of(finding) or {"true": "not checked", "because": ""}
                name = Path(finding["path"]).relative_to(corpus)
                said = str(verdict["true"]).lower()
                what = f"{finding['severity']} {finding['code']}, line {finding['line']}"
                listed.append(f"| `{name}` | {what} | {said} | {verdict['because']} |")
        replace(arguments[arguments.index("--write") + 1], "corpus", [*table, *listed])
    skipped = Counter(entry["reason"] for entry in report["skipped"])
    print("rules skipped: " + ", ".join(f"{reason} ({count})" for reason, count in skipped.most_common(8)))
    if "--list" in arguments:
        for finding in report["findings"]:
            if finding["path"] in official and finding["severity"] != "info":
                where = f"{Path(finding['path']).relative_to(corpus)}:{finding['line']}:{finding['column']}"
                verdict = verdicts.of(finding)
                said = "not checked" if verdict is None else f"{str(verdict['true']).lower()}: {verdict['because']}"
                print(f"- {finding['severity']} {finding['code']} {where}: {finding['message']} [{said}]")
    for line in unsure:
        print(f"no verdict, or a false finding: {line}")
    return 1 if unsure or len(touched["warning"]) > 0.1 * len(official) else 0


class Verdicts:
    """Findings that were read by hand against the file and its framework."""

    def __init__(self) -> None:
        rows = json.loads((Path(__file__).parent / "checked.json").read_text(encoding="utf-8"))
        self._rows = {(row["sha256"], row["code"], row["line"]): row for row in rows}
        self._hashes: dict[str, str] = {}

    def of(self, finding: dict[str, Any]) -> dict[str, Any] | None:
        """The verdict on a finding, if somebody gave one on the file as it is now."""
        path = finding["path"]
        if path not in self._hashes:
            self._hashes[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
        return self._rows.get((self._hashes[path], finding["code"], finding["line"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
