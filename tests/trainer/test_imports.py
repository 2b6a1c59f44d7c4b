"""What each side of the process boundary may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = (
    "manifest events failure console checkpoints situation arguments fields data.rows data.forms data.templates "
    "data.encode data.tally data.build __main__"
).split()


def test_what_the_command_reads_needs_no_torch() -> None:
    program = "import sys\n" + "".join(f"import loraplan_trainer.{name}\n" for name in WITHOUT_TORCH)
    program += "print(*{name.partition('.')[0] for name in sys.modules})"
    command, path = [sys.executable, "-c", program], {"PYTHONPATH": f"{ROOT}:{ROOT / 'trainer'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=path)
    heavy = {"torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes", "pyarrow", "numpy"}
    assert not set(done.stdout.split()) & heavy


def test_of_loraplan_the_trainer_knows_the_plan_alone() -> None:
    for path in (ROOT / "trainer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if name.partition(".")[0] in ("loraplan", "loraplan_rules"):
                    assert name.startswith(("loraplan.plan.", "loraplan.atomic")), f"{path.name} imports {name}"
