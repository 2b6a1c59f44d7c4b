"""TRL's trainers with what a watched run adds: whole checkpoints, phases of memory, a stop at the first NaN, LoRA+."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import EarlyStoppingCallback, PrinterCallback
from trl import DPOTrainer, SFTTrainer

from loraplan_trainer import checkpoints
from loraplan_trainer.events import Checkpoint
from loraplan_trainer.failure import CannotRun, NotANumber
from loraplan_trainer.recorder import Recorder


class Watched:
    """Mixed in before a transformers Trainer, whose hooks it overrides (transformers/trainer.py@5.23.0)."""

    def watch(self: Any, recorder: Recorder, *, keep: int, loraplus_lr_ratio: float | None) -> None:
        """Begin to watch; before `train`."""
        self.recorder = recorder
        self._keep = keep
        self._loraplus_lr_ratio = loraplus_lr_ratio
        self._staging: Path | None = None
        self.remove_callback(PrinterCallback)
        self.add_callback(recorder)
        recorder.share(self._any_process)
        backward = self.accelerator.backward

        def watched_backward(loss: Any, **keywords: Any) -> None:
            recorder.meter.begin("backward")
            backward(loss, **keywords)

        self.accelerator.backward = watched_backward

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.recorder.meter.begin("forward")
        loss = super().training_step(*args, **kwargs)  # type: ignore[misc]
        self.recorder.meter.end()
        if not torch.isfinite(loss):
            raise NotANumber(
                f"the loss of step {self.state.global_step + 1} is {loss.item()}: too high a learning rate, fp16 "
                "overflow or a broken base model are the usual causes; the weights are as after the step before"
            )
        return loss

    def _get_grad_norm(self: Any, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[misc]
        scaled = getattr(self.accelerator, "scaler", None) is not None  # fp16: such a step is skipped
        if norm is not None and not scaled and not torch.isfinite(torch.as_tensor(norm)):
            raise NotANumber(
                f"the gradient of step {self.state.global_step + 1} is not finite: too high a learning rate or numbers "
                "beyond the dtype's range are the usual causes; the weights are as after the step before"
            )
        return norm

    def create_optimizer(self: Any, model: Any = None) -> Any:
        try:
            return self._create_optimizer(model)
        except (ImportError, ValueError, TypeError) as error:
            raise CannotRun(f"optimizer.name {self.args.optim.value}: cannot be made: {error}") from error

    def create_scheduler(self: Any, num_training_steps: int, optimizer: Any = None) -> Any:
        if (
            self.args.lr_scheduler_type == "polynomial"
            and self.args.get_warmup_steps(num_training_steps) >= num_training_steps
        ):
            raise CannotRun(
                f"schedule.name polynomial: the warm-up takes all {num_training_steps} steps, and transformers "
                "divides by those that are left; set schedule.warmup_steps lower"
            )
        try:
            return super().create_scheduler(num_training_steps, optimizer)  # type: ignore[misc]
        except (ValueError, TypeError) as error:
            raise CannotRun(f"schedule.args: {self.args.lr_scheduler_type.value} cannot be made: {error}") from error

    def _create_optimizer(self: Any, model: Any) -> Any:
        if self._loraplus_lr_ratio is None or self.optimizer is not None:
            return super().create_optimizer(model)  # type: ignore[misc]
        from peft.optimizers import create_loraplus_optimizer

        target = self.model if model is None else model
        optimizer, keywords = self.get_optimizer_cls_and_kwargs(self.args, target)
        self.optimizer = create_loraplus_optimizer(
            target,
            optimizer,
            loraplus_lr_ratio=self._loraplus_lr_ratio,
            loraplus_weight_decay=self.args.weight_decay,
            **keywords,
        )
        return self.optimizer

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.monotonic()
        with self.recorder.meter.during("evaluation"):
            metrics = super().evaluate(*args, **kwargs)  # type: ignore[misc]
        self.recorder.pause(time.monotonic() - begun)
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: TRL's would go beside every checkpoint; the adapter has PEFT's."""

    def _send_telemetry(self) -> None:
        """None is sent."""

    def _get_output_dir(self: Any, trial: Any) -> str:
        folder = self.recorder.directory / checkpoints.FOLDER
        return str(self._staging or folder)

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        """A checkpoint that is whole or not there. Raises CannotRun where it cannot be written."""
        folder = self.recorder.directory / checkpoints.FOLDER
        step = self.state.global_step
        begun = time.monotonic()
        if self.args.should_save:
            checkpoints.sweep(folder)
        self.accelerator.wait_for_everyone()
        self._staging = checkpoints.staging(folder)
        best = self.state.best_model_checkpoint
        try:
            with self.recorder.meter.during("save"):
                super()._save_checkpoint(model, trial)  # type: ignore[misc]
            self.accelerator.wait_for_everyone()
            best_step = self.state.best_global_step
            # On every process: each one looks there for the weights that it loads at the end.
            self.state.best_model_checkpoint = str(checkpoints.path_of(folder, best_step)) if best_step else best
            if self.args.should_save:
                self._finish(folder, step)
        except (OSError, SafetensorError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_write_error(error):
                raise
            checkpoints.sweep(folder)
            kept = self.recorder.checkpoint
            raise CannotRun(
                f"the checkpoint of step {step} cannot be written to {folder}: {error}; "
                + (f"that of step {kept} is whole: make room and resume" if kept else "make room and start again")
            ) from error
        finally:
            self._staging = None
        self.accelerator.wait_for_everyone()
        self.recorder.pause(time.monotonic() - begun)

    def _finish(self: Any, folder: Path, step: int) -> None:
        """Rename the staged checkpoint; its state names the best one by the place where it will be."""
        staged = checkpoints.path_of(checkpoints.staging(folder), step)
        self.state.save_to_json(str(staged / "trainer_state.json"))
        size = checkpoints.finish(folder, step)
        self.recorder.checkpoint = step
        checkpoints.prune(folder, self._keep, self.state.best_global_step or None)
        why: Literal["schedule", "signal", "end"] = "end" if step >= self.state.max_steps else "schedule"
        if self.recorder.stopped_by_signal:
            why = "signal"
        where = str(checkpoints.path_of(folder, step))
        self.recorder.report(Checkpoint(step=step, path=where, bytes=size, why=why))

    def _any_process(self: Any, flag: bool) -> bool:
        if self.accelerator.num_processes == 1:
            return flag
        flags = self.accelerator.gather(torch.tensor([int(flag)], device=self.accelerator.device))
        return bool(flags.sum().item())


class EarlyStopping(EarlyStoppingCallback):
    """transformers' own, which in a resumed run goes on counting where the checkpoint left off."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Without load_best_model_at_end the base class warns; the Plan decides that.
        kept = state.stateful_callbacks.get(type(self).__name__) or {}
        self.early_stopping_patience_counter = kept.get("attributes", {}).get("early_stopping_patience_counter", 0)


class WatchedSFT(Watched, SFTTrainer):
    """Supervised fine-tuning, on completions, conversations or whole texts."""


class WatchedDPO(Watched, DPOTrainer):
    """Direct preference optimization."""


def _is_write_error(error: RuntimeError) -> bool:
    """Whether torch's zip writer, which raises RuntimeError, could not write."""
    return any(word in str(error) for word in ("PytorchStreamWriter", "file write failed", "open file", "enforce fail"))
