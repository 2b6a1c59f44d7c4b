"""Measured peaks of real training steps on this machine's GPU: `python bench/gpu_memory.py --budget-seconds 1500`.

Each case of a matrix (models of random weights in real shapes; LoRA, QLoRA, DoRA; checkpointing, attention, loss,
optimizers, lengths) runs in a process of its own, so that no case inherits another's cache. Rows go to `--out`, one
JSON object a line, in the schema that `bench/accuracy.py` reads; cases that are there already are skipped, so a run may
be stopped and continued, on this machine or another of the same kind. The most telling cases come first.

Without a GPU it says so and exits with 2; `--dry-run` prints the cases. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import gpu_step

from loraplan.trace.setting import Setting

HERE = Path(__file__).resolve().parent
SLOWEST = 600.0
"""Seconds that one case may take."""
FIRST_GUESS = 90.0
"""Seconds a case is expected to take before one was timed."""
Child = Callable[["Case", float], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    model: str
    setting: Setting
    optimizer: str = "adamw_torch"
    steps: int = 3
    changed: tuple[str, ...] = field(default=(), compare=False)
    """What distinguishes it from the plain case, for its name."""

    @property
    def id(self) -> str:
        parts = [self.model.rpartition("/")[2], *self.changed, f"{self.setting.batch}x{self.setting.sequence}"]
        return re.sub(r"[^a-z0-9.+-]+", "-", "gpu-" + "-".join(parts).lower())


METHODS = {
    "lora": {},
    "qlora": {"nf4": True},
    "dora": {"dora": True},
}
SMALL = ("meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen3-0.6B", "google/gemma-3-1b-pt", "google/gemma-2-2b")
OTHER = ("EleutherAI/pythia-1.4b", "microsoft/Phi-3-mini-4k-instruct", "allenai/OLMoE-1B-7B-0924")
LARGE = ("meta-llama/Llama-3.1-8B", "mistralai/Mistral-7B-v0.3", "Qwen/Qwen3-4B")
VARIATIONS: dict[str, dict[str, Any]] = {
    "eager": {"attention": "eager"},
    "padded": {"padded": True},
    "dropout": {"dropout": 0.05},
    "adapters-bf16": {"adapter": "bfloat16"},
    "autocast": {"autocast": True},
    "chunked": {"loss": "chunked"},
    "qv": {"targets": ("q_proj", "v_proj")},
    "r64": {"rank": 64, "alpha": 128},
    "reentrant": {"checkpointing": "reentrant"},
    "outputs-kept": {"outputs_kept": True},
    "qlora-upcast-autocast": {"nf4": True, "upcast": True, "autocast": True},
    "qlora-upcast": {"nf4": True, "upcast": True},
    "qlora-single": {"nf4": True, "double_quantized": False},
    "dora-checkpointed-dropout": {"dora": True, "checkpointing": "non-reentrant", "dropout": 0.05},
    "qlora-checkpointed-chunked": {"nf4": True, "checkpointing": "non-reentrant", "loss": "chunked"},
}
OPTIMIZERS = ("adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd")
SHAPES = ((1, 512), (4, 512), (1, 2048), (1, 4096), (8, 1024))


def matrix() -> list[Case]:
    """Every case, the most telling first, each once."""
    return list({case.id: case for case in _matrix()}.values())


def _matrix() -> Iterator[Case]:
    plain = Case(SMALL[0], Setting(batch=2, sequence=1024, cache=False))

    def grid(models: Iterable[str]) -> Iterator[Case]:
        for model in models:
            for checkpointing in ("off", "non-reentrant"):
                for method, change in METHODS.items():
                    setting = replace(plain.setting, checkpointing=checkpointing, **change)
                    if model == "google/gemma-2-2b":
                        setting = replace(setting, attention="eager")
                    names = (method, *(["checkpointed"] if checkpointing != "off" else []))
                    if not (method == "dora" and "OLMoE" in model):
                        yield replace(plain, model=model, setting=setting, changed=names)

    yield from grid(SMALL[:1])
    for name, change in VARIATIONS.items():
        yield replace(plain, setting=replace(plain.setting, **change), changed=(name,))
    yield from grid(LARGE[:1])
    for optimizer in OPTIMIZERS:
        yield replace(plain, optimizer=optimizer, changed=(optimizer.replace("_", "-"),))
    for batch, sequence in SHAPES:
        for checkpointing in ("off", "non-reentrant"):
            setting = replace(plain.setting, batch=batch, sequence=sequence, checkpointing=checkpointing)
            yield replace(
                plain, setting=setting, changed=("lora", *(["checkpointed"] if checkpointing != "off" else []))
            )
    yield from grid(SMALL[1:])
    yield from grid(OTHER)
    yield from grid(LARGE[1:])


def row(case: Case, reading: dict[str, Any], first_used: int | None) -> dict[str, Any]:
    """A reading in the schema of published measurements."""
    setting, oom = case.setting, bool(reading.get("oom"))
    method = "dora" if setting.dora and not setting.nf4 else "qlora" if setting.nf4 else "lora"
    used, device = reading.get("device_used_MiB"), None
    if used is not None and first_used is not None:
        device = (used - first_used) * 2**20
    shape = f"{setting.batch} x {setting.sequence}"
    return {
        "id": case.id,
        "source": "loraplan-gpu",
        "source_repo_or_paper": "loraplan bench/gpu_memory.py",
        "source_path": "bench/gpu_memory.py",
        "commit": None,
        "quality": "gold-oom" if oom else "gold",
        "model": case.model,
        "arch": None,
        "method": method,
        "r": setting.rank,
        "lora_alpha": setting.alpha,
        "lora_dropout": setting.dropout,
        "target_modules": setting.targets if isinstance(setting.targets, str) else list(setting.targets),
        "base_dtype": setting.base,
        "adapter_dtype": setting.adapter,
        "quantization": "nf4" if setting.nf4 else "none",
        "double_quant": setting.double_quantized if setting.nf4 else None,
        "bnb_compute_dtype": "bfloat16" if setting.nf4 else None,
        "autocast": "bf16" if setting.autocast else f"none (pure {setting.base})",
        "optimizer": case.optimizer,
        "optimizer_kwargs": {"lr": 1e-4},
        "per_device_batch_size": setting.batch,
        "gradient_accumulation_steps": 1,
        "seq_len_max": setting.sequence,
        "seq_len_shape": f"padded to this length: {shape}" if setting.padded else f"exactly {shape} tokens",
        "seq_len_mean": setting.sequence,
        "padding": "right, one sample half as long" if setting.padded else "none",
        "gradient_checkpointing": setting.checkpointing != "off",
        "activation_offloading": False,
        "attention_impl": setting.attention,
        "fused_loss": "trl chunked" if setting.loss == "chunked" else "none",
        "torch_compile": False,
        "num_gpus": 1,
        "sharding": "none",
        "gpu_name": reading.get("gpu_name"),
        "library_versions": reading.get("library_versions"),
        "metric": f"max_memory_allocated over {case.steps} steps, reset after the model was built",
        "measured_bytes": None if oom else reading["allocated"],
        "measured_original": reading.get("message") if oom else f"{reading['allocated']} bytes",
        "measured_is_approximate": False,
        "other_measured": {
            "max_memory_reserved_bytes": reading.get("reserved"),
            "nvidia_smi_minus_first_bytes": device,
            "allocated_after_load_bytes": reading.get("allocated_after_load"),
            "allocated_end_of_step_bytes": reading.get("allocated_end_of_step"),
            "peak_by_phase_bytes": reading.get("peak_by_phase"),
            "step_seconds": reading.get("step_seconds"),
            "setting": asdict(setting),
        },
        "trainable_params": reading.get("trainable_params"),
        "total_params": reading.get("total_params"),
        "is_estimate": False,
        "oom": oom,
        "notes": f"random weights; {setting.checkpointing} checkpointing; upcast {setting.upcast}",
    }


def child(case: Case, seconds: float) -> dict[str, Any]:
    """Run a case in its own process; a failure is a reading with an `error`."""
    given = json.dumps({**asdict(case), "setting": asdict(case.setting)})
    command = [sys.executable, str(HERE / "gpu_step.py"), given]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {seconds:.0f} s"}
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return {"error": f"exit code {done.returncode} without a reading"}


def known(path: Path) -> set[str]:
    """Cases that a file of rows has; a last line that was cut off is none."""
    found = set()
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.add(json.loads(line)["id"])
        except (ValueError, KeyError):
            continue
    return found


def run(cases: list[Case], out: Path, budget: float, run_case: Child, clock: Callable[[], float]) -> tuple[int, int]:
    """Measure what is missing until the budget is spent; (rows written, failures)."""
    done, started = known(out), clock()
    longest, written, failed = FIRST_GUESS, 0, 0
    out.parent.mkdir(parents=True, exist_ok=True)
    missing = [case for case in cases if case.id not in done]
    print(f"{len(cases)} cases, {len(cases) - len(missing)} in {out} already")
    if out.exists() and out.read_text("utf-8")[-1:] not in {"", "\n"}:
        with out.open("a", encoding="utf-8") as rows:
            rows.write("\n")  # behind a line that was cut off
    for number, case in enumerate(missing):
        left = budget - (clock() - started)
        if left < min(longest, SLOWEST):
            print(f"stopped for the budget: {len(missing) - number} cases left, {left:.0f} s left")
            break
        before, first_used = clock(), gpu_step.device_used()
        reading = run_case(case, min(left, SLOWEST))
        took = clock() - before
        longest = took if not written else max(longest, took)
        if "error" in reading:
            failed += 1
            print(f"{case.id}: failed: {reading['error']}")
            continue
        with out.open("a", encoding="utf-8") as rows:
            rows.write(json.dumps(row(case, reading, first_used)) + "\n")
        written += 1
        peak = "out of memory" if reading.get("oom") else f"{reading['allocated'] / 2**30:.3f} GiB"
        print(f"{case.id}: {peak} ({took:.0f} s)", flush=True)
    return written, failed


def main(arguments: list[str], run_case: Child = child) -> int:
    """Exit code 0, 1 where a case failed, 2 where there is nothing to measure with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "measured" / "gpu.jsonl")
    parser.add_argument("--budget-seconds", type=float, default=1500)
    parser.add_argument("--only", default="", help="Cases whose id has this text.")
    parser.add_argument("--dry-run", action="store_true", help="Print the cases.")
    options = parser.parse_args(arguments)
    cases = [case for case in matrix() if options.only in case.id]
    if options.dry_run:
        done = known(options.out)
        for case in cases:
            print(case.id, "(measured)" if case.id in done else "")
        print(f"{len(cases)} cases; nothing was run")
        return 0
    if run_case is child and not _has_gpu():
        print("no CUDA GPU on this machine: nothing can be measured here (--dry-run prints the cases)", file=sys.stderr)
        return 2
    _, failed = run(cases, options.out, options.budget_seconds, run_case, time.monotonic)
    return 1 if failed else 0


def _has_gpu() -> bool:
    """Asked of a process of its own: a CUDA context here would count into every reading."""
    code = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
