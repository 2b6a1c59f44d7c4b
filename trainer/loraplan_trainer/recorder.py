"""Watches training through transformers' callbacks: writes the log, obeys signals, times the phases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from loraplan_trainer import adapter
from loraplan_trainer.events import Evaluation, Event, ModelReady, Step
from loraplan_trainer.memory import Meter
from loraplan_trainer.signals import Signals

_NAMED = {"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "step"}


class Recorder(TrainerCallback):
    """One run's callbacks. `report` takes every record; on other than the main process it drops them."""

    def __init__(self, report: Callable[[Event], None], meter: Meter, signals: Signals, directory: Path) -> None:
        self.report = report
        self.meter = meter
        self.signals = signals
        self.directory = directory
        self.step = 0
        self.tokens = 0
        self.checkpoint: int | None = None
        """The step of the newest whole checkpoint."""
        self.stopped_by_signal = False
        self.epochs = 1.0
        """Epochs in what transformers takes for one: all of a stream."""
        self._any_process: Callable[[bool], bool] = lambda flag: flag
        self._begun = self._logged = time.monotonic()
        self._first_step = 0
        self._idle = 0.0
        self._tokens_logged = 0.0

    def share(self, any_process: Callable[[bool], bool]) -> None:
        """How processes agree that one of them was asked to stop."""
        self._any_process = any_process

    def pause(self, seconds: float) -> None:
        """Time that did not go into steps: evaluation, checkpoints."""
        self._idle += seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.step = self._first_step = state.global_step
        self._begun = self._logged = time.monotonic()
        self._idle = 0.0
        self.report(ready(kwargs["model"], state.max_steps, args))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meter.begin("step")

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meter.end()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self.step = state.global_step
        if self._any_process(self.signals.received is not None):
            self.stopped_by_signal = True
            control.should_save = True
            control.should_training_stop = True
        if control.should_save:
            # The mean loss since the last record is not in a checkpoint: a resumed run starts a new mean.
            control.should_log = True
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if control.should_save:
            control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs is None or "loss" not in logs or "learning_rate" not in logs:
            return
        now = time.monotonic()
        busy = max(now - self._logged - self._idle, 1e-9)
        tokens = logs.get("num_tokens")
        rate = None if tokens is None else (tokens - self._tokens_logged) / busy
        if tokens is not None:
            self._tokens_logged = tokens
            self.tokens = int(tokens)
        done = state.global_step - self._first_step
        known = 0 < state.max_steps < 1 << 40
        self.report(
            Step(
                step=state.global_step,
                steps=state.max_steps if known else None,
                epoch=None if state.epoch is None else state.epoch * self.epochs,
                loss=logs["loss"],
                lr=logs["learning_rate"],
                grad_norm=logs.get("grad_norm"),
                tokens_per_s=rate,
                memory_now=self.meter.now(),
                memory_peak=self.meter.peak(),
                memory_source=self.meter.source,
                eta=(now - self._begun) / done * (state.max_steps - state.global_step) if known and done else None,
                metrics=_numbers(logs),
            )
        )
        self._logged = now
        self._idle = 0.0

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        found = metrics or {}
        self.report(Evaluation(step=state.global_step, loss=found.get("eval_loss"), metrics=_numbers(found)))


def ready(model: Any, steps: int, arguments: Any) -> ModelReady:
    """What a model holds and trains. Parameters of 4-bit weights are counted as they are packed: two a byte."""
    parameters = trainable = 0
    for parameter in model.parameters():
        count = getattr(parameter, "ds_numel", None) or parameter.numel()
        if type(parameter).__name__ == "Params4bit":
            count *= 2 * parameter.element_size()
        parameters += count
        trainable += count if parameter.requires_grad else 0
    return ModelReady(
        parameters=parameters,
        trainable=trainable,
        adapted_modules=adapter.modules(model),
        steps=steps if 0 < steps < 1 << 40 else None,
        examples_per_step=arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size,
    )


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in logs.items()
        if key not in _NAMED and isinstance(value, int | float) and not math.isnan(value)
    }
