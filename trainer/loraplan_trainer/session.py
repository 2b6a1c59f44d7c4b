"""What happens between an accepted Plan and a saved adapter: data, model, adapter, TRL's trainer."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import IntervalStrategy, set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl import DPOConfig, SFTConfig

from loraplan.plan import get, ordered_names
from loraplan_trainer import adapter, arguments, checkpoints, sample, trackers
from loraplan_trainer.data.build import Prepared, prepare
from loraplan_trainer.events import Event, PlanField, Warned
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.memory import Meter, is_out_of_memory
from loraplan_trainer.merge import merge
from loraplan_trainer.model import load_model, load_tokenizer
from loraplan_trainer.recorder import Recorder, ready
from loraplan_trainer.situation import Situation
from loraplan_trainer.trainer import EarlyStopping, WatchedDPO, WatchedSFT

if TYPE_CHECKING:
    from loraplan_trainer.run import Run

ADAPTER = "adapter"
MODEL = "model"
"""In place of the adapter where all weights are trained."""
MERGED = "merged"
_INITIAL = "initial_adapter"


class Session:
    """The libraries' part of a run. Construction loads everything; raises CannotRun."""

    def __init__(self, owner: Run, situation: Situation, meter: Meter) -> None:
        self._owner = owner
        self._manifest = owner.manifest
        self._plan = owner.plan
        self._meter = meter
        self._report: Callable[[Event], None] = owner.report
        self._situation = situation
        self._directory = owner.directory
        self.recorder = Recorder(owner.report, meter, owner.signals, owner.directory)
        if owner.main:
            trackers.ready(self._manifest)
        self._arguments = self._make_arguments()
        set_seed(self._manifest.seed)
        self._tokenizer = load_tokenizer(self._plan)
        self._data = prepare(self._manifest, self._tokenizer, self._report)
        if self._data.streamed:
            self._bound_stream()
        lora = adapter.config(self._plan)
        with meter.during("load"):
            model = load_model(self._plan, situation, self._tokenizer, self._arguments.local_process_index)
        with meter.during("adapter"):
            self._trainer = self._make_trainer(model, lora)
        ratio = self._plan.adapter.loraplus_lr_ratio if lora is not None else None
        self._trainer.watch(self.recorder, keep=self._manifest.keep_checkpoints, loraplus_lr_ratio=ratio)
        if (patience := self._plan.run.early_stopping_patience) is not None:
            self._trainer.add_callback(EarlyStopping(patience))
        if self._manifest.report_to:
            trackers.guard(self._trainer)

    def _make_arguments(self) -> Any:
        keywords = arguments.training(self._plan, self._situation, self._manifest.seed)
        kind = DPOConfig if self._plan.method == "dpo" else SFTConfig
        try:
            made = kind(
                output_dir=str(self._directory / checkpoints.FOLDER),
                report_to=list(self._manifest.report_to) or "none",
                run_name=self._manifest.tracking.get("WANDB_NAME", self._directory.name),
                disable_tqdm=True,
                logging_nan_inf_filter=False,  # or transformers hides a NaN loss
                dataloader_pin_memory=self._situation.device == "cuda",
                **keywords,
            )
        except (ValueError, TypeError, ImportError) as error:
            raise CannotRun(f"the training arguments exclude each other: {error}") from error
        for event in _unset(self._plan, keywords, made):
            self._report(event)
        return made

    def _bound_stream(self) -> None:
        """Streamed data have no length: steps, and what is done every epoch, follow from the rows that were counted."""
        made = self._arguments
        if made.train_sampling_strategy in ("group_by_length", "batch_rebalance"):
            text = (
                f"data.sampling {made.train_sampling_strategy} has no effect on streamed data, whose lengths come late"
            )
            self._report(Warned(text=text))
            made.train_sampling_strategy = "random"
        if made.max_steps <= 0:
            if self._plan.data.packing:
                raise CannotRun("packed, streamed data have no known number of steps; set schedule.max_steps")
            made.max_steps = _steps_of(made, self._data.rows, self._situation.processes, made.num_train_epochs)
        epoch = _steps_of(made, self._data.rows, self._situation.processes, 1)
        self.recorder.epochs = made.max_steps / epoch
        if made.save_strategy == IntervalStrategy.EPOCH:
            made.save_strategy, made.save_steps = IntervalStrategy.STEPS, epoch
        if made.eval_strategy == IntervalStrategy.EPOCH:
            made.eval_strategy, made.eval_steps = IntervalStrategy.STEPS, epoch

    def _make_trainer(self, model: Any, lora: Any) -> Any:
        plan = self._plan
        keywords: dict[str, Any] = {
            "args": self._arguments,
            "train_dataset": self._data.train,
            "eval_dataset": self._data.evaluation,
            "processing_class": self._tokenizer,
        }
        fresh = lora is not None and plan.adapter.resume_from is None
        set_seed(self._manifest.seed)  # the same adapter, however much randomness loading took
        try:
            if plan.method == "dpo":
                # A fresh adapter is given as its config: the reference is then the model without it, no second copy.
                if lora is not None and not fresh:
                    model = self._attach(model, lora)
                trainer: Any = WatchedDPO(model=model, peft_config=lora if fresh else None, **keywords)
            else:
                if lora is not None:
                    model = self._attach(model, lora)
                    if arguments.needs_initial_adapter(plan) and fresh and self._owner.main:
                        adapter.save_initial(model, self._initial)
                trainer = WatchedSFT(model=model, **keywords)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            if is_out_of_memory(error):
                raise
            raise CannotRun(f"TRL refuses the run: {error}") from error
        return trainer

    def _attach(self, model: Any, lora: Any) -> Any:
        adapted = adapter.attach(model, self._plan, lora)
        if self._plan.adapter.resume_from is not None:
            for text in adapter.differences(adapted, self._plan):
                self._report(Warned(text=text))
        return adapted

    @property
    def _initial(self) -> Path:
        return self._directory / _INITIAL

    def train(self, resume: Path | None) -> Literal["done", "dry_run", "interrupted"]:
        """Train, save, sample, merge; or stop before the first step where that is all that is asked."""
        trainer = self._trainer
        if self._manifest.dry_run:
            next(iter(trainer.get_train_dataloader()))
            if self._situation.sharding == "none":
                trainer.create_optimizer()
            self._report(ready(trainer.model, self._steps(), self._arguments))
            return "dry_run"
        self._sample("before")
        signals = self._owner.signals
        signals.training(active=True)
        if resume is not None:
            self.recorder.checkpoint = checkpoints.steps(resume.parent)[-1]
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        signals.training(active=False)
        if self.recorder.stopped_by_signal:
            return "interrupted"
        self._save()
        self._sample("after")
        if self._manifest.merge and self._owner.main and self._plan.adapter.method != "none":
            unset_hf_deepspeed_config()  # or ZeRO-3 shares out the weights that one process loads
            self._report(merge(self._plan, self._tokenizer, self._directory / ADAPTER, self._directory / MERGED))
        return "done"

    def _steps(self) -> int:
        trainer = self._trainer
        if self._arguments.max_steps > 0:
            return int(self._arguments.max_steps)
        return int(trainer.set_initial_training_values(self._arguments, trainer.get_train_dataloader())[-1])

    def _save(self) -> None:
        """The trained weights in their place, whole or not there."""
        name = MODEL if self._plan.adapter.method == "none" else ADAPTER
        target = self._directory / name
        staged = self._directory / f".{name}.writing"
        trainer = self._trainer
        sharded = self._situation.sharding != "none"
        with self._meter.during("save"):
            if self._owner.main:
                shutil.rmtree(staged, ignore_errors=True)
            fsdp = getattr(trainer.accelerator.state, "fsdp_plugin", None)
            if fsdp is not None:
                fsdp.set_state_dict_type("FULL_STATE_DICT")  # or save_model writes nothing
            if name == MODEL or sharded:
                trainer.save_model(str(staged))  # gathers what is sharded, on every process
                if self._owner.main:
                    (staged / "training_args.bin").unlink(missing_ok=True)  # a pickle, of no use to who loads the model
            elif self._owner.main:
                model = trainer.accelerator.unwrap_model(trainer.model)
                adapter.save(model, staged, self._initial if self._initial.is_dir() else None)
                self._tokenizer.save_pretrained(str(staged))
            trainer.accelerator.wait_for_everyone()
            if self._owner.main:
                _replace(staged, target)
                self._owner.saved(target)

    def _sample(self, when: Literal["before", "after"]) -> None:
        if not self._manifest.sample_prompts or not self._owner.main:
            return
        if self._situation.sharding != "none":
            if when == "before":
                self._report(Warned(text="no samples are written: a sharded model does not generate on one process"))
            return
        data: Prepared = self._data
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        sample.complete(
            model,
            self._tokenizer,
            self._manifest.sample_prompts,
            when=when,
            form=data.form,
            conversational=data.conversational,
            tokens=self._manifest.sample_tokens,
            report=self._report,
        )


def _steps_of(made: Any, rows: int, processes: int, epochs: float) -> int:
    """Optimizer steps of so many epochs of streamed data, as transformers counts those of data in memory."""
    batches = math.ceil(rows / (int(made.per_device_train_batch_size) * processes))
    each = max(math.ceil(batches / int(made.gradient_accumulation_steps)), 1)
    return math.ceil(epochs * each)


def _unset(plan: Any, given: dict[str, Any], effective: Any) -> Iterator[PlanField]:
    """Fields that the Plan leaves open and the libraries fill in, with the value they chose."""
    names = arguments.argument_names()
    for name in ordered_names():
        argument = names.get(name)
        if argument is None or get(plan, name) is not None:
            continue
        if argument in given and argument != "activation_checkpointing":  # whose default is given to avoid a warning
            continue
        value = getattr(effective, argument, None)
        if value is not None:
            value = getattr(value, "value", value)
            yield PlanField(name=name, value=value, outcome="default", text=f"not in the plan; {argument}'s default")


def _replace(staged: Path, target: Path) -> None:
    """Put a directory that was written beside in its place. Raises OSError."""
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
