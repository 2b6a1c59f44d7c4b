"""A job script for a Slurm cluster: the run directory made on the first machine, accelerate's launcher on each."""

from __future__ import annotations

import shlex
from pathlib import Path

from loraplan.training import TrainingError
from loraplan.training.launch import ACCELERATE, Nodes
from loraplan.training.prepare import Prepared
from loraplan_trainer.manifest import FILE_NAME

_PORT = 29500

_JOB = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --signal=B:TERM@120
# Set what your cluster wants, such as --partition and --account. The files below must be on a disk that all nodes see.
# 120 s before the time is up the trainer is asked to stop; it writes a checkpoint, and the same job resumes from it.
set -euo pipefail

RUN={run}
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# The first job makes the run directory; a later one finds it and continues.
if [ ! -f "$RUN/{manifest}" ]; then
    {prepare}
else
    python - "$RUN/{manifest}" <<'PYTHON'
import json, os, sys
path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    run = json.load(file)
run["resume"] = True
with open(path + ".new", "w", encoding="utf-8") as file:
    json.dump(run, file, indent=2)
os.replace(path + ".new", path)
PYTHON
fi

srun --kill-on-bad-exit=1 bash -c '
export PYTHONSAFEPATH=1
exec python -P -m accelerate.commands.launch --config_file "$0/{accelerate}" \\
    --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" \\
    --main_process_ip "$1" --main_process_port {port} \\
    -m loraplan_trainer "$0/{manifest}"
' "$RUN" "$HEAD" &
JOB=$!
trap 'kill -TERM "$JOB"' TERM
wait "$JOB" || {{ code=$?; wait "$JOB" || code=$?; exit "$code"; }}
"""


def job(prepared: Prepared, directory: Path, nodes: Nodes) -> str:
    """The script. Raises TrainingError where the processes cannot be shared out evenly."""
    processes = prepared.situation.processes
    if processes % nodes.machines:
        raise TrainingError(f"{processes} processes cannot be shared out evenly over {nodes.machines} machines")
    each = processes // nodes.machines
    path = Path(prepared.reading.document.path).absolute()
    words = ["loraplan", "train", str(path), "--output-dir", str(directory), "--processes", str(processes)]
    if nodes.machines > 1:
        words += ["--nodes", str(nodes.machines), "--rendezvous"]
    prepare = shlex.join(words) + (f' "$HEAD:{_PORT}"' if nodes.machines > 1 else "") + " --export manifest"
    return _JOB.format(
        name=path.stem,
        nodes=nodes.machines,
        gpus=each,
        cpus=max(4, 4 * each),
        run=shlex.quote(str(directory)),
        manifest=FILE_NAME,
        accelerate=ACCELERATE,
        prepare=prepare,
        port=_PORT,
    )
