"""The evaluation and saving settings contradict each other.

## What it does
Reports what frameworks refuse: `load_best_model_at_end` with different evaluation and save strategies, or with save
steps that are no multiple of the evaluation steps; the schedules `reduce_lr_on_plateau` and `greedy` without
evaluation; in axolotl and LLaMA-Factory also an evaluation split beside evaluation datasets, and in axolotl
`eval_steps` without a split, with `evals_per_epoch`, or with another strategy than `steps`, and the like for
`save_steps`.

## Why is this bad?
transformers raises ValueError while the arguments are built, axolotl and LLaMA-Factory when they validate the file.
None of them trains.

## Example
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
eval_strategy: epoch
save_strategy: steps
load_best_model_at_end: true
```

## Use instead
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
eval_strategy: epoch
save_strategy: epoch
load_best_model_at_end: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `training_args.py`: load_best_model_at_end requires matching strategies; reduce_lr_on_plateau
  and greedy require evaluation.
- axolotl 0.19.0, `utils/schemas/validation.py`: check_evals, check_saves and check_pretraining_w_val_set_size.
- LLaMA-Factory 0.9.5, `hparams/data_args.py`: val_size cannot stand beside eval_dataset.

## What it does not flag
Values that are absent and whose default the tables do not know, `save_strategy: best`, which needs no match, and
hand-rolled files, whose script may set the strategies itself.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import finite
from loraplan.document import Scalar
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES

_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
# Formats whose default of the strategy is what transformers gets.
_PLAIN = frozenset(("trl", "hf-args", "llamafactory", "python"))


@rule(
    code="EVL002",
    name="evaluation-settings-invalid",
    severity="error",
    why="the framework refuses to start with these settings",
    reads=(
        "run.load_best_model_at_end",
        "run.eval_strategy",
        "run.save_strategy",
        "run.eval_steps",
        "run.save_steps",
        "schedule.name",
        "data.val_size",
        "data.eval_datasets",
    ),
    evidence=(
        Evidence(
            "load_best_model_at_end requires matching strategies; reduce_lr_on_plateau and greedy require evaluation",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
        Evidence(
            "check_evals, check_saves and check_pretraining_w_val_set_size",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "val_size cannot stand beside eval_dataset",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/data_args.py",
            "source read at 0.9.5",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    reading = ctx.reading
    if reading.format in TRANSFORMERS_SCHEDULES:
        yield from _transformers(plan, ctx)
    if reading.format == "axolotl":
        yield from _axolotl(plan, ctx)
    if reading.format == "llamafactory" and plan.data.eval_datasets and (finite(plan.data.val_size) or 0) > 1e-6:
        yield Finding(
            f"{ctx.said('data.val_size')} beside {ctx.key('data.eval_datasets')}: LLaMA-Factory refuses the two",
            at="data.val_size",
            remedy=f"remove {ctx.key('data.val_size')}, or {ctx.key('data.eval_datasets')}",
        )


def _transformers(plan: Plan, ctx: Context) -> Checked:
    run = plan.run
    if ctx.reading.format not in _PLAIN and not ctx.explicit("run.eval_strategy"):
        return  # the framework may turn evaluation on where there is data for it
    evaluation, saving = (run.eval_strategy or "").lower(), (run.save_strategy or "").lower()
    if ctx.explicit("schedule.name") and (plan.schedule.name or "").lower() in _SCHEDULES and evaluation == "no":
        yield Finding(
            f"{ctx.said('schedule.name')} follows the evaluation loss, but {ctx.said('run.eval_strategy')}",
            at="schedule.name",
            remedy=f"set {ctx.key('run.eval_strategy')} to steps or epoch",
        )
    if not run.load_best_model_at_end or not ctx.explicit("run.load_best_model_at_end"):
        return
    if not evaluation or not saving or saving == "best":
        return
    if evaluation != saving:
        yield Finding(
            f"{ctx.key('run.load_best_model_at_end')} needs the two strategies to be the same:"
            f" {ctx.said('run.eval_strategy')}, {ctx.said('run.save_strategy')}",
            at="run.load_best_model_at_end",
            remedy=f"set {ctx.key('run.eval_strategy')} and {ctx.key('run.save_strategy')} alike",
        )
        return
    every, kept = finite(run.eval_steps), finite(run.save_steps)
    if evaluation != "steps" or every is None or kept is None or every < 1 or kept < 1:
        return
    if int(kept) % int(every):
        yield Finding(
            f"{ctx.said('run.save_steps')} is no multiple of {ctx.said('run.eval_steps')}:"
            f" {ctx.key('run.load_best_model_at_end')} needs an evaluation at every checkpoint",
            at="run.save_steps" if ctx.explicit("run.save_steps") else "run.eval_steps",
            remedy=f"save every {int(every) * max(1, round(kept / every))} steps",
        )


def _axolotl(plan: Plan, ctx: Context) -> Checked:
    strategy, steps = text(ctx, "eval_strategy"), node(ctx, "eval_steps")
    size = text(ctx, "val_set_size")
    split = (finite(plan.data.val_size) or 0) > 0 and ctx.explicit("data.val_size")
    every = text(ctx, "evals_per_epoch")
    written_steps = steps is not None and text(ctx, "eval_steps") not in (None, "0")
    if split and plan.data.eval_datasets:
        yield Finding(
            f"{ctx.said('data.val_size')} beside test_datasets: axolotl refuses the two",
            at="data.val_size",
            remedy="set val_set_size to 0, or remove test_datasets",
        )
    stream = node(ctx, "pretraining_dataset")
    if split and stream is not None and (text(ctx, "pretraining_dataset") or not isinstance(stream, Scalar)):
        yield Finding(
            f"{ctx.said('data.val_size')} with pretraining_dataset: axolotl refuses it, a stream has no split",
            at="data.val_size",
            remedy="name test_datasets instead",
        )
    kept = node(ctx, "save_steps")
    if kept is not None and text(ctx, "save_steps") not in (None, "0"):
        saving = text(ctx, "save_strategy")
        if text(ctx, "saves_per_epoch") not in (None, "0"):
            yield Finding(
                "save_steps and saves_per_epoch are both set: axolotl refuses the two",
                at=kept.span,
                remedy="remove one of them",
            )
        elif saving not in (None, "steps"):
            yield Finding(
                f"save_steps with save_strategy {saving}: axolotl refuses it",
                at=kept.span,
                remedy="set save_strategy to steps, or remove save_steps",
            )
    if every not in (None, "0") and strategy not in (None, "steps") and not written_steps:
        place = node(ctx, "evals_per_epoch")
        if place is not None:
            yield Finding(
                f"evals_per_epoch with eval_strategy {strategy}: axolotl refuses it",
                at=place.span,
                remedy="remove eval_strategy",
            )
    if steps is not None and written_steps and every not in (None, "0"):
        yield Finding(
            "eval_steps and evals_per_epoch are both set: axolotl refuses the two",
            at=steps.span,
            remedy="remove one of them",
        )
    elif steps is not None and written_steps and strategy not in (None, "steps"):
        yield Finding(
            f"eval_steps with eval_strategy {strategy}: axolotl refuses it",
            at=steps.span,
            remedy="set eval_strategy to steps, or remove eval_steps",
        )
    elif size in ("0", "0.0") and strategy != "no" and not plan.data.eval_datasets and (written_steps or strategy):
        place = steps if steps is not None and written_steps else node(ctx, "eval_strategy")
        if place is not None:
            yield Finding(
                "val_set_size is 0, so there is nothing to evaluate: axolotl refuses eval_steps and eval_strategy",
                at=place.span,
                remedy="set val_set_size, or remove the evaluation settings",
            )
