"""What the trainer costs over a hand-written TRL script of the same run: paired step times.

    python bench/train_overhead.py [--steps N] [--json FILE]

Both train the same small llama on the same rows in one process, a step of one and then a step of the other, so that
what else the machine does falls on both alike. A step's time is the CPU time of its thread from the end of the step
before; the wall-clock figures stand beside it. The first steps are left out. Both log every step.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
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


class Baton:
    """Lets one of two threads work at a time, a step each, until one has ended."""

    def __init__(self, names: tuple[str, str]) -> None:
        self._turn = threading.Condition()
        self._names = names
        self._holder = names[0]
        self._ended = False

    def wait(self, name: str) -> None:
        """Until it is this one's turn, or the other has ended."""
        with self._turn:
            self._turn.wait_for(lambda: self._holder == name or self._ended)

    def hand_over(self, name: str) -> None:
        """It is the other one's turn."""
        with self._turn:
            self._holder = next(other for other in self._names if other != name)
            self._turn.notify_all()

    def end(self) -> None:
        """Nobody waits any more."""
        with self._turn:
            self._ended = True
            self._turn.notify_all()


class Clock(TrainerCallback):
    """CPU and wall time of each step, between the turns of the other."""

    def __init__(self, name: str, baton: Baton) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self._name = name
        self._baton = baton
        self._begun = (0.0, 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._baton.wait(self._name)
        self._begun = (time.thread_time(), time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.cpu.append(time.thread_time() - self._begun[0])
        self.wall.append(time.perf_counter() - self._begun[1])
        self._baton.hand_over(self._name)
        self._baton.wait(self._name)
        self._begun = (time.thread_time(), time.perf_counter())

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._baton.end()


def make_model(folder: Path) -> None:
    """About 13 million parameters and a tokenizer of bytes."""
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
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)  # each thread's steps run in it alone, so its CPU time is theirs
    baton = Baton(("theirs", "ours"))
    clocks = {name: Clock(name, baton) for name in ("theirs", "ours")}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_model(folder / "model")
        rows = folder / "rows.jsonl"
        row = {"prompt": "abcdefghij" * 5 + ": ", "completion": "klmnopqrst" * 7}
        rows.write_text("".join(json.dumps(row) + "\n" for _ in range(ROWS)), encoding="utf-8")
        script = threading.Thread(
            target=theirs, args=(folder / "model", rows, folder / "theirs", given.steps, clocks["theirs"])
        )
        script.start()
        try:
            ours(folder / "model", rows, folder / "ours", given.steps, clocks["ours"])
        finally:
            baton.end()
            script.join()
    result = _result(clocks)
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _result(clocks: dict[str, Clock]) -> dict[str, Any]:
    """Medians of the steps, and of the pairs' ratios with an interval that holds their median in 95 of 100 cases."""
    found: dict[str, Any] = {"pairs": len(clocks["ours"].cpu) - WARM}
    for kind in ("cpu", "wall"):
        mine, other = (getattr(clocks[name], kind)[WARM:] for name in ("ours", "theirs"))
        ratios = sorted(left / right for left, right in zip(mine, other, strict=True))
        half = 0.98 * math.sqrt(len(ratios))  # of the binomial distribution of ranks
        low, high = (ratios[min(max(round(len(ratios) / 2 + side), 0), len(ratios) - 1)] for side in (-half, half))
        found[kind] = {
            "trainer_ms": round(1000 * statistics.median(mine), 2),
            "script_ms": round(1000 * statistics.median(other), 2),
            "median_ratio": round(statistics.median(ratios), 4),
            "interval": [round(low, 4), round(high, 4)],
        }
    return found


if __name__ == "__main__":
    main()
