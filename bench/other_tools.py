"""What other memory estimators say of the same measured rows.

Usage: python bench/other_tools.py ROWS.jsonl --cache ANSWERS.json [--python PYTHON] [--format json] [--rows]

PYTHON is an interpreter that has the tools (`pip install fitcheck-llm canifinetune peft-doctor`); answers that the
cache holds are not asked again, so that with a full cache none is needed. The tools get the row's settings as
`measured_rows.py` reads them and the exact architecture, so that no name is looked up on the hub; their figure is that
of the row's counter, and where a source does not say which counter it read, the one that suits the tool best.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

from accuracy import judge  # noqa: E402
from measured_rows import Case, OutOfScope, Skipped, case, group  # noqa: E402

from loraplan.arch.match import match  # noqa: E402

TOOLS = ("fitcheck-llm", "canifinetune", "peft-doctor")
GROUPS = ("gold_allocated_1gpu", "gold_allocated_multi", "gold_reserved", "silver")
COUNTERS = ("allocated", "reserved", "device")
HOW = {
    "fitcheck-llm": "allocated: its five formulas without its overhead; reserved: without its 500 MiB of CUDA context; "
    "adapters and states in the run's dtype; whatever is not eager attention is its flash attention",
    "canifinetune": "never its safety margin; allocated: without its 8 % of the card; targets as the nearest of its "
    "three scopes; liger as its own option, which keeps the ordinary loss in the sum",
    "peft-doctor": "allocated: without its overhead; it asks for no rank, targets, optimizer, dtype or attention",
}
"""How each tool's figure is taken; all get the exact architecture, GPTQ stands as double-quantized nf4."""
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
# GiB of the cards that the rows name; the PEFT comparison ran on one card throughout (its README).
_CARDS = (("A100-SXM4-40GB", 40), ("A100", 80), ("H100", 80), ("L40S", 48), ("3090", 24), ("4090", 24), ("T4", 15))
_CARD_OF_SOURCE = {"peft-metamath": 48, "qwen-readme-profiling": 80}
_REPLICATED = ("single", "ddp")


class Inexpressible(Exception):
    """What no tool can be told and is not small, so that an answer would be about another run."""


class Asked(NamedTuple):
    """One row as the tools are asked about it."""

    row: dict[str, Any]
    group: str
    setting: dict[str, Any]

    @property
    def key(self) -> str:
        """Identifies the setting in the cache."""
        return hashlib.sha256(json.dumps(self.setting, sort_keys=True).encode()).hexdigest()[:16]


def setting(row: dict[str, Any], mapped: Case) -> dict[str, Any]:
    """The row in terms that every tool's adapter understands; raises Inexpressible."""
    plan, arch, stack = mapped.plan, mapped.arch, mapped.stack
    if plan.distributed.strategy not in _REPLICATED:
        raise Inexpressible("sharded over several GPUs")
    if plan.adapter.modules_to_save:
        raise Inexpressible("modules trained in full beside the adapter")
    if plan.precision.activation_offloading:
        raise Inexpressible("activations offloaded to the host")
    optimizer = str(plan.optimizer.name or "adamw").lower()
    if optimizer == "adamw_fused_backward":
        raise Inexpressible("optimizer step inside the backward")
    full = plan.adapter.method == "none"
    dtype = _DTYPES[str(plan.model.dtype or stack.dtype).removeprefix("torch.")]
    states = dtype if full or stack.adapter == "weights" else "fp32"
    # GPTQ's scales take about as much as doubly quantized ones, 0.02 bytes a weight.
    double_quant = bool(plan.quantization.double_quant) or plan.quantization.method in ("gptq", "awq")
    checkpointing = plan.precision.gradient_checkpointing
    return {
        "model": arch.name, "family": arch.model_type, "parameters": arch.parameters, "hidden": arch.hidden_size,
        "layers": arch.num_layers, "heads": arch.num_heads, "kv_heads": arch.num_kv_heads, "head_dim": arch.head_dim,
        "inner": arch.intermediate_size, "vocab": arch.vocab_size, "tied": arch.tied_embeddings,
        "experts": arch.num_experts, "experts_per_token": arch.experts_per_token, "multimodal": arch.multimodal,
        "method": "full" if full else "lora", "bits": int(plan.quantization.bits or 16),
        "quantizer": plan.quantization.method, "double_quant": double_quant,
        "dtype": dtype, "state_dtype": "fp32" if states == "fp32" else "bf16", "optimizer": _optimizer(optimizer),
        "batch": plan.batch.micro_batch_size, "accumulation": int(plan.batch.gradient_accumulation_steps or 1),
        "length": plan.data.max_length, "r": None if full else int(plan.adapter.r or 8),
        "alpha": None if full else int(plan.adapter.alpha or 16), "dropout": plan.adapter.dropout or 0.0,
        "dora": bool(plan.adapter.use_dora), "targets": [] if full else _roles(mapped),
        "checkpointing": stack.checkpointing if checkpointing is None else checkpointing,
        "attention": plan.model.attn_implementation or "sdpa", "loss": _loss(row, plan.precision.fused_loss),
        "vram_gib": _card(row),
    }  # fmt: skip


def _optimizer(name: str) -> str:
    """The names that the adapters know; 32-bit paged states count as ordinary ones."""
    if "paged" in name:
        return "paged_adamw_8bit" if "8" in name else "adamw"
    if "8bit" in name:
        return "adamw_8bit"
    return "adamw" if name.startswith("adamw") else name


def _loss(row: dict[str, Any], fused: str | None) -> str:
    """A loss that saves memory: `liger`, `chunked` or `fused`; nothing for the ordinary one."""
    if "chunked" in str(row["fused_loss"] or "").lower():
        return "chunked"
    return {"linear": "liger", "liger": "liger", "fused": "fused", "fused_replace": "fused"}.get(fused or "", "")


def _roles(mapped: Case) -> list[str]:
    modules = match(mapped.plan.adapter, mapped.arch).modules
    return sorted({module.role for module in modules if module.role and module.part != "vision"})


def _card(row: dict[str, Any]) -> int | None:
    name = str(row["gpu_name"] or "")
    return next((size for text, size in _CARDS if text in name), _CARD_OF_SOURCE.get(row["source"]))


def counter(row: dict[str, Any]) -> str | None:
    """Which of a tool's figures the row measured; None where its source does not say."""
    metric = row["metric"].lower()
    if "unknown" in metric:
        return None
    if "reserved" in metric:
        return "reserved"
    return "device" if "nvidia-smi" in metric else "allocated"


def answers(tool: str, asked: list[Asked], cache: dict[str, Any], python: str | None) -> dict[str, Any]:
    """The tool's answer to each setting by its key, from the cache and else from the tool."""
    known: dict[str, Any] = cache.setdefault(tool, {"version": None, "answers": {}})
    missing = {item.key: item.setting for item in asked if item.key not in known["answers"]}
    if missing:
        if python is None:
            raise SystemExit(f"{len(missing)} answers of {tool} are not in the cache: --python names who can ask it")
        done = subprocess.run(
            [python, str(BENCH / "other_tools_worker.py")],
            input=json.dumps({"tool": tool, "settings": list(missing.values())}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{tool} could not be asked: {done.stderr.strip().splitlines()[-1]}")
        said = json.loads(done.stdout)
        if known["version"] not in (None, said["version"]):
            raise SystemExit(f"the cache holds answers of {tool} {known['version']}, {python} has {said['version']}")
        known["version"] = said["version"]
        known["answers"] |= dict(zip(missing, said["answers"], strict=True))
    found: dict[str, Any] = known["answers"]
    return found


def summary(items: list[tuple[Asked, dict[str, Any]]], unsaid: Counter[str]) -> dict[str, Any]:
    """Figures of one tool in one group. `unsaid`: rows that no tool can be asked about, by reason."""
    reasons, told = Counter(unsaid), []
    for item, said in items:
        if "refused" in said:
            reasons[said["refused"]] += 1
        else:
            told.append((item, said))
    best = min(COUNTERS, key=lambda name: _median(told, name)) if told else "allocated"
    plain = [(item, said) for item, said in told if not said["approximated"]]
    return {
        "rows": len(told),
        "rows_not_expressible": sum(reasons.values()),
        "reasons": dict(reasons.most_common()),
        "counter_of_unstated": best if any(counter(item.row) is None for item, _ in told) else None,
        **_figures([_error(item, said, best) for item, said in told]),
        "ours": _figures([ours(item) for item, _ in told]),
        "approximated": dict(Counter(what for _, said in told for what in said["approximated"]).most_common()),
        "exact": {
            "rows": len(plain),
            **_figures([_error(item, said, best) for item, said in plain]),
            "ours": _figures([ours(item) for item, _ in plain]),
        },
    }


def ours(item: Asked) -> float:
    """LoRAPlan's own error on the row, in per cent."""
    return judge(item.row).error


def _error(item: Asked, said: dict[str, Any], unstated: str) -> float:
    """Per cent; positive where the tool says too much."""
    return 100 * float(said[counter(item.row) or unstated] / item.row["measured_bytes"] - 1)


def _median(told: list[tuple[Asked, dict[str, Any]]], unstated: str) -> float:
    return statistics.median(abs(_error(item, said, unstated)) for item, said in told)


def _figures(errors: list[float]) -> dict[str, float | None]:
    if not errors:
        return dict.fromkeys(("median_abs_pct", "p90_abs_pct", "worst_abs_pct", "bias_pct"))
    sizes = sorted(map(abs, errors))
    return {
        "median_abs_pct": round(statistics.median(sizes), 3),
        "p90_abs_pct": round(sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))], 3),
        "worst_abs_pct": round(sizes[-1], 3),
        "bias_pct": round(statistics.mean(errors), 3),
    }


def questions(rows: list[dict[str, Any]]) -> tuple[list[Asked], dict[str, Counter[str]]]:
    """What the tools are asked, and by group why not for the other rows in scope."""
    asked, unsaid = [], defaultdict[str, Counter[str]](Counter)
    for row in rows:
        name = group(row)
        if name not in GROUPS:
            continue
        try:
            asked.append(Asked(row, name, setting(row, case(row))))
        except OutOfScope:
            continue
        except (Skipped, Inexpressible) as reason:
            unsaid[name][str(reason)] += 1
    return asked, unsaid


def _write(path: Path, cache: dict[str, Any]) -> None:
    """Keep the answers, whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        json.dump(cache, file, indent=1, sort_keys=True)
    Path(file.name).replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="JSON file of answers, read and added to.")
    parser.add_argument("--python", help="An interpreter that has the tools.")
    parser.add_argument("--tool", action="append", choices=TOOLS, help="Only this one; may be repeated.")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--rows", dest="each", action="store_true", help="Every row.")
    options = parser.parse_args(arguments)
    rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines() if line.strip()]
    asked, unsaid = questions(rows)
    cache: dict[str, Any] = json.loads(options.cache.read_text("utf-8")) if options.cache.exists() else {}
    table: dict[str, Any] = {}
    for tool in options.tool or TOOLS:
        said = answers(tool, asked, cache, options.python)
        items = [(item, said[item.key]) for item in asked]
        groups = {name: [pair for pair in items if pair[0].group == name] for name in GROUPS}
        table[tool] = {"version": cache[tool]["version"], "how": HOW[tool]}
        table[tool] |= {name: summary(groups[name], unsaid[name]) for name in GROUPS}
        if options.each and options.format == "text":
            for item, told in sorted(items, key=lambda pair: pair[0].row["id"]):
                best = table[tool][item.group]["counter_of_unstated"] or "allocated"
                what = told.get("refused") or f"{_error(item, told, best):+8.2f} %  {'; '.join(told['approximated'])}"
                print(f"{tool:13} {item.group:20} {item.row['id'][:70]:70} {what}")
    _write(options.cache, cache)
    if options.format == "json":
        print(json.dumps(table, indent=2))
        return 0
    for tool, found in table.items():
        for name in GROUPS:
            figures = {key: value for key, value in found[name].items() if key not in ("reasons", "approximated")}
            print(f"{tool} {found['version']} {name} {json.dumps(figures)}")
            for reason, count in found[name]["reasons"].items():
                print(f"    not expressible, {count}: {reason}")
            for what, count in found[name]["approximated"].items():
                print(f"    approximated, {count}: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
