"""What the trainer costs over a hand-written TRL script of the same run: paired step times.

    python bench/train_overhead.py [--rounds N] [--steps N] [--json FILE]

Both train the same small llama on the same rows, in this process, in turn, the order changing from round to round. A
step's time is the process's CPU time between the ends of two steps, so that what else runs on the machine does not
count; the wall-clock ratio stands beside it. The first steps of a run are left out. Both log every step.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from loraplan.plan import build
from loraplan_trainer import run as runs
from loraplan_trainer import session
from loraplan_trainer.manifest import FILE_NAME, DataSource, Manifest, write

WARM = 3
ROWS = 256
PLAN: dict[str, Any] = {
    "method": "sft", "model.dtype": "float32", "adapter.method": "lora", "adapter.r": 16.0, "adapter.alpha": 32.0,
    "adapter.dropout": 0.0, "adapter.target_modules": "all-linear", "optimizer.name": "adamw_torch",
    "optimizer.learning_rate": 1e-3, "schedule.name": "constant", "batch.micro_batch_size": 4,
    "batch.gradient_accumulation_steps": 1, "precision.bf16": False, "precision.gradient_checkpointing": False,
    "data.max_length": 128, "run.logging_steps": 1.0, "run.save_strategy": "no",
}  # fmt: skip


class Clock(TrainerCallback):
    """CPU and wall time at the end of each step."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())

    def steps(self) -> tuple[list[float], list[float]]:
        """CPU and wall seconds of each step after the first ones."""
        return tuple(  # type: ignore[return-value]
            [after - before for before, after in zip(times[WARM:], times[WARM + 1 :], strict=False)]
            for times in (self.cpu, self.wall)
        )


def make_model(folder: Path) -> None:
    """About 14 million parameters and a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<pad>", "</s>", *alphabet])}
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", pad_token="<pad>").save_pretrained(str(folder))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=384, intermediate_size=1024, num_hidden_layers=8,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=256, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(str(folder))


def ours(model: Path, rows: Path, folder: Path, steps: int, clock: Clock) -> None:
    """The trainer, as `python -m loraplan_trainer` runs it."""
    made = Manifest(
        plan=build({**PLAN, "model.name": str(model), "schedule.max_steps": steps}),
        data=(DataSource(source=str(rows), kind="file"),),
        run_directory=str(folder),
        seed=7,
        device="cpu",
    )
    folder.mkdir()
    write(made, folder / FILE_NAME)
    watch = session.WatchedSFT.watch

    def watched(self: Any, *args: Any, **keywords: Any) -> None:
        watch(self, *args, **keywords)
        self.add_callback(clock)

    session.WatchedSFT.watch = watched  # type: ignore[method-assign]
    try:
        code = runs.run(made, (folder / FILE_NAME).read_bytes())
    finally:
        session.WatchedSFT.watch = watch  # type: ignore[method-assign]
    if code:
        raise SystemExit(f"the trainer failed with exit code {code}")


def theirs(model: Path, rows: Path, folder: Path, steps: int, clock: Clock) -> None:
    """The same run as anyone would write it with TRL."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(model))
    set_seed(7)
    base = LlamaForCausalLM.from_pretrained(str(model), dtype=torch.float32)
    set_seed(7)
    adapted = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear",
                                              task_type="CAUSAL_LM"))  # fmt: skip
    arguments = SFTConfig(
        output_dir=str(folder), max_steps=steps, learning_rate=1e-3, lr_scheduler_type="constant",
        optim="adamw_torch", per_device_train_batch_size=4, gradient_accumulation_steps=1, max_length=128, bf16=False,
        activation_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none", seed=7, data_seed=7,
        use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    items = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    trainer = SFTTrainer(
        model=adapted, args=arguments, train_dataset=Dataset.from_list(items), processing_class=tokenizer,
        callbacks=[clock],
    )  # fmt: skip
    trainer.train()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_model(folder / "model")
        rows = folder / "rows.jsonl"
        row = {"prompt": "abcdefghij" * 5 + ": ", "completion": "klmnopqrst" * 7}
        rows.write_text("".join(json.dumps(row) + "\n" for _ in range(ROWS)), encoding="utf-8")
        both: dict[str, Callable[..., None]] = {"ours": ours, "theirs": theirs}
        for number in range(given.rounds):
            for name in list(both)[:: 1 if number % 2 else -1]:
                clock = Clock()
                both[name](folder / "model", rows, folder / f"{name}-{number}", given.steps, clock)
                cpu, wall = clock.steps()
                times[name].append((statistics.median(cpu), statistics.median(wall)))
    result = _result(times, given.steps)
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _result(times: dict[str, list[tuple[float, float]]], steps: int) -> dict[str, Any]:
    """Medians of a round's steps; the ratio is of the rounds' pairs, with its standard error."""
    found: dict[str, Any] = {"rounds": len(times["ours"]), "steps": steps}
    for index, kind in enumerate(("cpu", "wall")):
        ratios = [mine[index] / other[index] for mine, other in zip(times["ours"], times["theirs"], strict=True)]
        found[kind] = {
            "trainer_ms": round(1000 * statistics.median(item[index] for item in times["ours"]), 2),
            "script_ms": round(1000 * statistics.median(item[index] for item in times["theirs"]), 2),
            "ratio": round(statistics.fmean(ratios), 4),
            "standard_error": round(statistics.stdev(ratios) / math.sqrt(len(ratios)), 4) if len(ratios) > 1 else None,
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    return found


if __name__ == "__main__":
    main()
