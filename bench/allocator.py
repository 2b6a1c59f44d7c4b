"""How much more the CUDA caching allocator reserves, and needs, than a training step keeps alive.

    python bench/allocator.py [--varying] [--seconds 600]
    python bench/allocator.py --write

Real steps of transformers + PEFT (+ bitsandbytes, TRL) at full depth are traced on the meta device (extra `trace`) and
their storages replayed through the allocator's own rules (`loraplan.trace.allocator`), three steps from the first
on, or six with `--varying`, each batch with its own length.
A line a run is added to bench/replays: what is alive at most, what is reserved, and the smallest card that would do,
beside the estimate's own figures. Settings are drawn at random with a fixed seed; a run continues where the last ended.
`--write` writes docs/allocator.md from these lines.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from loraplan import __version__
from loraplan.arch.catalogue import all_rows
from loraplan.memory.observed import SEGMENTS, SEGMENTS_WHOLE, moving
from loraplan.trace.setting import Setting
from tests.oracle_memory.closed import closed_form

MODELS = (
    "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B",
    "mistralai/Mistral-7B-v0.3", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B", "Qwen/Qwen3-8B",
    "google/gemma-2b", "HuggingFaceTB/SmolLM2-1.7B",
)  # fmt: skip
LARGEST = 140 * 10**9
"""Bytes alive at most: no card has more for one model of this size."""
METHODS = ("lora", "qlora", "qlora upcast", "full")
FOLDER = Path(__file__).parent / "replays"
PAGE = Path(__file__).parents[1] / "docs" / "allocator.md"
Q_V, ATTENTION = ("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj")


def draws(methods: Sequence[str], seed: int = 0) -> Iterator[tuple[str, Setting]]:
    """Models and settings without end."""
    pick = random.Random(seed)
    while True:
        method = pick.choice(methods)
        trained = method == "full"
        upcast = method == "qlora upcast"
        checkpointing = pick.choice(("off", "reentrant", "reentrant", "non-reentrant"))
        yield (
            pick.choice(MODELS),
            Setting(
                batch=pick.choice((1, 2, 4, 8, 16)),
                sequence=pick.choice((512, 1024, 2048, 4096)),
                rank=0 if trained else pick.choice((8, 16, 64)),
                dropout=0.0 if trained else pick.choice((0.0, 0.05)),
                targets=pick.choice((Q_V, ATTENTION, "all-linear")),
                adapter="float32" if upcast else pick.choice(("float32", "bfloat16")),
                nf4=method.startswith("qlora"),
                upcast=upcast,
                autocast=upcast or pick.choice((False, True)),
                checkpointing=checkpointing,  # type: ignore[arg-type]
                loss=pick.choice(("unfused", "chunked")),  # type: ignore[arg-type]
                cache=False,
            ),
        )


def config_of_row(config: Mapping[str, Any]) -> dict[str, Any]:
    """A catalogued config without scaled positions, which no size depends on, and without a window."""
    return {key: value for key, value in config.items() if not key.startswith("rope_")} | {"sliding_window": None}


def lengths_of(setting: Setting, seed: int) -> list[int]:
    """Lengths of six batches, each padded to its longest sequence; one is at the cap, anywhere among the others."""
    pick = random.Random(seed)
    others = [min(int(pick.lognormvariate(-1, 0.5) * setting.sequence), setting.sequence) for _ in range(5)]
    others.insert(pick.randrange(6), setting.sequence)
    return [max(length, 16) for length in others]


def measure(config: dict[str, Any], setting: Setting, lengths: Sequence[int] = ()) -> dict[str, Any] | None:
    """One line, or None where the run is larger than any card."""
    from loraplan.trace.allocator import needed, replay
    from loraplan.trace.model import config_of
    from loraplan.trace.step import run

    found = closed_form(config, setting)
    if found.peak.bytes > LARGEST:
        return None
    ledger = run(config_of(config), setting, lengths)
    allocator = replay(ledger)
    logits = max([term.bytes for phase in found.phases for term in phase.terms if term.name == "logits and loss"])
    return {
        "alive": allocator.most_allocated,
        "reserved": allocator.most_reserved,
        "needed": needed(ledger),
        "estimate": found.peak.bytes,
        "phase": found.peak.name,
        "moving": moving(found.peak),
        "logits": logits,
    }


REGIMES = {
    (False, True): "no checkpointing, loss in pieces",
    (False, False): "no checkpointing, whole logits",
    (True, True): "checkpointing, loss in pieces",
    (True, False): "checkpointing, whole logits",
}


def regime(line: dict[str, Any]) -> tuple[bool, bool]:
    """(Checkpointing, loss in pieces), as `loraplan.memory.observed` has it."""
    return line["checkpointing"] != "off", line["loss"] == "chunked"


def read(name: str) -> list[dict[str, Any]]:
    """The runs of a file that fit some card."""
    lines = [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]
    return [line for line in lines if "skipped" not in line]


def share(lines: list[dict[str, Any]]) -> float:
    """The share of what moves that stays reserved beside it: the median over the runs."""
    found = []
    for line in lines:
        segments = SEGMENTS if line["loss"] == "chunked" else SEGMENTS_WHOLE
        found.append((line["reserved"] - line["alive"] - segments) / line["moving"])
    return max(statistics.median(found), 0.0)


def at(values: list[float], part: float) -> float:
    """A quantile."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


TEXT = """# What the CUDA caching allocator adds

Written by `python bench/allocator.py --write` (loraplan {version}); do not edit. Real training steps of transformers
{transformers}, PEFT, bitsandbytes and TRL, at full depth on the meta device; their storages are replayed through the
allocator's rules (`loraplan/trace/allocator.py`): best fit, splitting, merging, segments that go back only whole.
Models, batch, length, method, checkpointing and loss are drawn at random.

The estimate's peak beside what was alive in {count} of these runs: median difference {median:.2f} %, 90 % within
{most:.2f} %, worst {worst:.2f} %. These runs were in sight while the estimate was mended.

*Reserved*: what `torch.cuda.max_memory_reserved` would show, on a card without end. *Needed*: the smallest card on
which the same run does not fail, found by replaying it on smaller and smaller ones. Both over what is alive at most, as
5th percentile, median and 95th percentile. *Share*: of what moves within a step, the part that stays reserved beside it
(median, after {pieces} or, with whole logits, {whole} MiB).

| runs | | reserved | needed | share |
| --- | --- | --- | --- | --- |"""


def page() -> str:
    """docs/allocator.md."""
    fixed, varying = read("fixed.jsonl"), read("varying.jsonl")
    off = [abs(line["estimate"] / line["alive"] - 1) for line in fixed]
    lines = [
        TEXT.format(
            version=__version__,
            transformers=fixed[0]["transformers"],
            count=len(fixed),
            pieces=SEGMENTS >> 20,
            whole=SEGMENTS_WHOLE >> 20,
            median=100 * statistics.median(off),
            most=100 * at(off, 0.9),
            worst=100 * max(off),
        )
    ]
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for kind, title in REGIMES.items():
        groups.append((f"LoRA, {title}", [line for line in fixed if line["rank"] and regime(line) == kind]))
    full = [line for line in fixed if not line["rank"]]
    stepping = [line for line in full if line["phase"] == "optimizer"]
    working = [line for line in full if line["phase"] != "optimizer"]
    groups += [
        ("full fine-tuning, peak in the optimizer's step", stepping),
        ("full fine-tuning, peak elsewhere, no checkpointing", [line for line in working if not regime(line)[0]]),
        ("full fine-tuning, peak elsewhere, checkpointing", [line for line in working if regime(line)[0]]),
    ]
    groups += [
        (f"LoRA, lengths that vary, {title}", [line for line in varying if regime(line) == kind])
        for kind, title in REGIMES.items()
    ]
    for title, group in groups:
        if group:
            reserved, needed = (
                " / ".join(
                    f"{at([line[name] / line['alive'] for line in group], part):.3f}" for part in (0.05, 0.5, 0.95)
                )
                for name in ("reserved", "needed")
            )
            lines.append(f"| {title} | {len(group)} | {reserved} | {needed} | {share(group):.2f} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Go on until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--varying", action="store_true", help="Batches of varying length.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--write", action="store_true", help="Write docs/allocator.md from the lines that are there.")
    given = parser.parse_args(argv)
    if given.write:
        PAGE.write_text(page(), "utf-8")
        return 0
    replays = FOLDER / ("varying.jsonl" if given.varying else "fixed.jsonl")
    import transformers

    configs = {row.name: config_of_row(row.config) for row in all_rows()}
    done = len(replays.read_text().splitlines()) if replays.exists() else 0
    end = time.monotonic() + given.seconds
    with replays.open("a", encoding="utf-8") as file:
        for number, (model, setting) in enumerate(draws(METHODS[:3] if given.varying else METHODS)):
            if time.monotonic() > end:
                return 0
            if number < done:
                continue
            line = {"model": model, **dataclasses.asdict(setting), "transformers": transformers.__version__}
            lengths = lengths_of(setting, number) if given.varying else []
            found = measure(configs[model], setting, lengths) or {"skipped": "larger than any card"}
            file.write(json.dumps(line | {"lengths": lengths} | found) + "\n")
            file.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
