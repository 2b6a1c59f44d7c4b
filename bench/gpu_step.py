"""One measured case, in its own process: a real training step of a model of random weights on this machine's GPU.

Run by `gpu_memory.py`: `python gpu_step.py CASE_AS_JSON` prints one line of JSON. The model is built by the same code
that `loraplan.trace` watches, then given memory, so that a row here and a trace speak of the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from loraplan.arch.catalogue import all_rows
from loraplan.trace.model import build, config_of
from loraplan.trace.setting import Setting

PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "flash-attn")


def main(arguments: list[str]) -> int:
    """Measure, and print the reading; an out-of-memory is a reading too."""
    case = json.loads(arguments[0])
    import torch

    if not torch.cuda.is_available():
        print(json.dumps({"error": "no CUDA GPU: torch.cuda.is_available() is false"}))
        return 2
    reading: dict[str, Any] = {"gpu_name": torch.cuda.get_device_name(), "library_versions": versions()}
    try:
        reading |= measure(case)
    except torch.OutOfMemoryError as error:
        reading |= {"oom": True, "message": str(error).splitlines()[0]}
    print(json.dumps(reading))
    return 0


def versions() -> dict[str, str]:
    """Versions of what shapes a step's memory."""
    import torch

    found = {"cuda": str(torch.version.cuda)}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Peaks of the counters over some steps, and of each phase of the last."""
    import torch

    setting = Setting(**case["setting"] | {"targets": _targets(case["setting"]["targets"])})
    config = config_of(next(row.config for row in all_rows() if row.name == case["model"]))
    model = build(config, setting)
    give_memory(model, "cuda")
    parameters = [item for item in model.parameters() if item.requires_grad]
    optimizer = _optimizer(case["optimizer"], parameters)
    batch = _batch(setting, config.vocab_size)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    loaded, peaks = torch.cuda.memory_allocated(), {}
    torch.cuda.reset_peak_memory_stats()
    highest = 0
    for number in range(case["steps"]):
        started = time.perf_counter()
        peaks = _step(model, batch, optimizer, parameters, setting)
        torch.cuda.synchronize()
        highest = max(highest, *peaks.values())
        seconds = time.perf_counter() - started
        print(f"step {number}: {seconds:.2f} s, peak {highest / 2**30:.2f} GiB", file=sys.stderr)
    return {
        "allocated": highest,
        "reserved": torch.cuda.max_memory_reserved(),
        "device_used_MiB": device_used(),
        "allocated_after_load": loaded,
        "allocated_end_of_step": torch.cuda.memory_allocated(),
        "peak_by_phase": peaks,
        "step_seconds": round(seconds, 3),
        "trainable_params": sum(item.numel() for item in parameters),
        "total_params": sum(item.numel() for item in model.parameters()),
        "oom": False,
    }


def _step(model: Any, batch: dict[str, Any], optimizer: Any, parameters: list[Any], setting: Setting) -> dict[str, int]:
    """One step in the order of transformers' Trainer; the peak of each part."""
    import torch

    peaks = {}

    def mark(name: str) -> None:
        peaks[name] = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()

    torch.cuda.reset_peak_memory_stats()
    with torch.autocast("cuda", torch.bfloat16, enabled=setting.autocast):
        outputs = model(**batch)
    loss = outputs.loss
    if not setting.outputs_kept:
        del outputs
    mark("forward_and_loss")
    loss.backward()
    mark("backward")
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    mark("optimizer")
    optimizer.zero_grad()
    return peaks


def give_memory(model: Any, device: str) -> None:
    """Give a meta model storages on a device, filled with small random values; 4-bit weights stay 4-bit."""
    import torch

    made: dict[int, Any] = {}

    def real(value: Any) -> Any:
        if id(value) not in made:
            fresh = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
            if fresh.is_floating_point():
                fresh.fill_(1.0) if fresh.dim() < 2 else fresh.normal_(std=0.02)
            else:
                fresh.random_(0, 255) if fresh.dtype == torch.uint8 else fresh.zero_()
            made[id(value)] = fresh
        return made[id(value)]

    for module in model.modules():
        for name, value in module._parameters.items():  # noqa: SLF001 -- the only way to keep the class of a parameter
            if value is None or value.device.type != "meta":
                continue
            if id(value) not in made or not isinstance(made[id(value)], torch.nn.Parameter):
                made[id(value)] = _parameter(value, real, device)
            module._parameters[name] = made[id(value)]  # noqa: SLF001
        for name, value in module._buffers.items():  # noqa: SLF001
            if value is not None and value.device.type == "meta":
                module._buffers[name] = real(value)  # noqa: SLF001
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor) and value.device.type == "meta":
                setattr(module, name, real(value))


def _parameter(value: Any, real: Any, device: str) -> Any:
    import torch

    if type(value) is torch.nn.Parameter:
        return torch.nn.Parameter(real(value), requires_grad=value.requires_grad)
    from bitsandbytes.functional import get_4bit_type

    fresh = type(value)(
        real(value),
        quant_state=value.quant_state,
        compress_statistics=value.compress_statistics,
        quant_type=value.quant_type,
        module=value.module,
        bnb_quantized=True,
    )
    state = value.quant_state
    state.code = get_4bit_type(value.quant_type, device=device)
    while state is not None:
        for name in ("absmax", "code", "offset"):
            found = getattr(state, name)
            if found is not None and found.device.type == "meta":
                setattr(state, name, real(found))
        if state.absmax.is_floating_point():
            state.absmax.fill_(1e-4)
        state = state.state2
    return fresh


def _batch(setting: Setting, vocabulary: int) -> dict[str, Any]:
    import torch

    ids = torch.randint(0, vocabulary, (setting.batch, setting.sequence), device="cuda")
    batch: dict[str, Any] = {"input_ids": ids, "labels": ids.clone()}
    if setting.padded:
        mask = torch.ones_like(ids)
        mask[0, setting.sequence // 2 :] = 0
        batch["attention_mask"] = mask
    if setting.loss == "chunked":
        batch["fused_lm_head"] = True
    return batch


def _optimizer(name: str, parameters: list[Any]) -> Any:
    import torch

    if name in {"adamw_torch", "adamw_torch_fused"}:
        kind = "fused" if name.endswith("fused") else "foreach"
        return torch.optim.AdamW(parameters, lr=1e-4, **{kind: True})
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=1e-4, foreach=True)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(parameters, lr=1e-4, relative_step=False, scale_parameter=False)
    import bitsandbytes

    found = {"adamw_8bit": bitsandbytes.optim.AdamW8bit, "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit}
    return found[name](parameters, lr=1e-4)


def _targets(value: Any) -> Any:
    return value if isinstance(value, str) else tuple(value)


def device_used() -> int | None:
    """MiB in use on the first GPU as nvidia-smi shows it; None where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    command = ["nvidia-smi", f"--id={visible}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return int(done.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
