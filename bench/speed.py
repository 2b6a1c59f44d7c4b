"""Wall time of `loraplan check` as a ratio to yamllint's on the same files, and peak memory; needs hyperfine.

Usage: python bench/speed.py ONE_FILE.yml [FOLDER_OF_YAML]

Both programs run from the same environment, alternating within one hyperfine call; yamllint with its default rules,
its output sent nowhere. Figures depend on the machine, so only the ratios are worth quoting.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "qlora.yml"


def times(commands: list[list[str]], runs: int) -> list[float]:
    """Median wall seconds of each command."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times.json"
        quoted = [" ".join(f"'{word}'" for word in command) for command in commands]
        subprocess.run(
            [
                "hyperfine",
                "-N",
                "-i",
                "-w",
                "3",
                "-r",
                str(runs),
                "--style",
                "none",
                "--export-json",
                str(out),
                *quoted,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return [result["median"] for result in json.loads(out.read_text())["results"]]


def peak_mib(command: list[str]) -> float:
    """Peak resident memory of a command in MiB, in a fresh process so that no other child counts."""
    script = (
        "import resource,subprocess as s,sys;s.run(sys.argv[1:],stdout=s.DEVNULL,stderr=s.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True)
    unit = 1024 if sys.platform != "darwin" else 1024**2
    return int(done.stdout) / unit


def main(arguments: list[str]) -> int:
    """Print one line a comparison."""
    if shutil.which("hyperfine") is None:
        print("hyperfine is not installed (apt-get install hyperfine)", file=sys.stderr)
        return 2
    scripts = Path(sys.executable).parent
    loraplan, yamllint = str(scripts / "loraplan"), str(scripts / "yamllint")
    one = arguments[0] if arguments else str(EXAMPLE)
    cases = [("one file", [one], 25)]
    if len(arguments) > 1:
        files = sorted(str(path) for path in Path(arguments[1]).rglob("*") if path.suffix in {".yml", ".yaml"})
        cases.append((f"{len(files)} files", files, 5))
    for title, files, runs in cases:
        commands = [
            [loraplan, "check", *files],
            [loraplan, "check", "--format", "json", *files],
            [yamllint, *files],
            [sys.executable, "-c", "pass"],
        ]
        text, as_json, lint, bare = times(commands, runs)
        print(
            f"{title}: check {text / lint:.2f} x yamllint (json {as_json / lint:.2f} x), "
            f"{text / bare:.1f} x bare python; peak memory {peak_mib(commands[0]):.0f} MiB "
            f"(yamllint {peak_mib(commands[2]):.0f} MiB)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
