"""The same run for other tools: a plain TRL script, accelerate's config, a Slurm job, the launch command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from loraplan import atomic
from loraplan.training import TrainingError, directory, launch
from loraplan.training.assembly import Choices, manifest
from loraplan.training.export import accelerate, script, slurm
from loraplan.training.launch import Nodes
from loraplan.training.prepare import Prepared
from loraplan_trainer import manifest as manifests

_ENDINGS = {".py": "script", ".yaml": "accelerate", ".yml": "accelerate", ".sh": "slurm", ".sbatch": "slurm",
            ".slurm": "slurm"}  # fmt: skip
_KINDS = ("script", "accelerate", "slurm", "command", "manifest")


def write_exports(
    prepared: Prepared, wanted: tuple[str, ...], output_dir: str | None, nodes: Nodes, choices: Choices
) -> int:
    """Write each wanted file, by its ending; a kind's bare name goes to standard output. Raises TrainingError."""
    for item in wanted:
        kind = item if item in _KINDS else _ENDINGS.get(os.path.splitext(item)[1].lower())
        if kind is None:
            raise TrainingError(
                f"--export {item}: name a kind ({', '.join(_KINDS)}) or a .py, .yaml, .sh or .sbatch file"
            )
        if kind == "manifest":
            _say(_manifest(prepared, output_dir, nodes, choices))
            continue
        text = _text(kind, prepared, output_dir, nodes)
        if item == kind:
            _say(text.rstrip("\n"))
            continue
        try:
            atomic.write(item, text)
        except OSError as error:
            raise TrainingError(f"{item}: cannot be written ({error.strerror})") from error
        _say(f"wrote {item}")
    return 0


def _text(kind: str, prepared: Prepared, output_dir: str | None, nodes: Nodes) -> str:
    place = Path(output_dir or _example(prepared)).absolute()
    match kind:
        case "script":
            return script.source(prepared, str(place))
        case "accelerate":
            return accelerate.config(prepared.plan, prepared.situation, nodes)
        case "slurm":
            return slurm.job(prepared, place, nodes)
    situation = prepared.situation
    return launch.shown(launch.command(place, situation.processes, cpu=situation.device == "cpu", nodes=nodes))


def _manifest(prepared: Prepared, output_dir: str | None, nodes: Nodes, choices: Choices) -> str:
    """Make the run directory ready for a launcher, and start nothing."""
    from loraplan.training.command import write

    place = directory.create(output_dir, Path(prepared.reading.document.path).stem, overwrite=False)
    made = manifest(prepared.reading, prepared.plan, prepared.said, prepared.data, place, choices, prepared.prediction)
    words = write(prepared, made, nodes)
    return f"wrote {place / manifests.FILE_NAME}\nlaunch: {launch.shown(words)}"


def _example(prepared: Prepared) -> str:
    return os.path.join(directory.ROOT, Path(prepared.reading.document.path).stem)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
