"""`python -m loraplan_trainer RUN_DIR/manifest.json`: one process of a run; exit codes as in `failure`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

USAGE = "usage: python -m loraplan_trainer RUN_DIR/manifest.json"


def main(arguments: list[str] | None = None) -> int:
    """Run a manifest; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0] in ("-h", "--help"):
        sys.stderr.write(USAGE + "\n")
        return 0 if given[:1] in (["-h"], ["--help"]) else 2
    # Before the libraries are imported, which read them once.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    if os.environ.get("WORLD_SIZE", "1") == "1":
        # One process trains on one card; of several, transformers would split its batch, which TRL refuses.
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

    from loraplan_trainer import manifest as manifests
    from loraplan_trainer.run import run

    path = Path(given[0])
    try:
        return run(manifests.read(path), path.read_bytes())
    except (manifests.ManifestError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
