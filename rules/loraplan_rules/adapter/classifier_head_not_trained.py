"""A classifier's new head is not trained.

## What it does
Flags a script that loads a sequence or token classifier, and TRL's reward trainer, where the adapter's `task_type` is
neither SEQ_CLS nor TOKEN_CLS and the head is not in `modules_to_save`.

## Why is this bad?
The head starts at random values and LoRA freezes it: the model classifies with noise. With `task_type` CAUSAL_LM PEFT
stops, since a classifier cannot generate.

## Example
```python
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

model = AutoModelForSequenceClassification.from_pretrained("meta-llama/Llama-3.2-1B", num_labels=2)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
model = get_peft_model(model, peft_config)
args = TrainingArguments(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = Trainer(model=model, args=args, train_dataset=dataset)
```

## Use instead
```python
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

model = AutoModelForSequenceClassification.from_pretrained("meta-llama/Llama-3.2-1B", num_labels=2)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS")
model = get_peft_model(model, peft_config)
args = TrainingArguments(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = Trainer(model=model, args=args, train_dataset=dataset)
```

## Options
No options.

## Evidence
- peft 0.21.2: without a task type `score` is not trained; with CAUSAL_LM "object has no attribute
  'prepare_inputs_for_generation'" (run).
- TRL, `docs/source/reward_trainer.md`@067322f8, names the head in `modules_to_save`; trl 1.16.0
  `trainer/reward_trainer.py` does not add it.

## What it does not flag
- axolotl, which takes the task type from the class; LLaMA-Factory, whose reward model has a head of its own; a head
  that is trained by other means (`requires_grad` in the script).

## Fix safety
Safe: the task type makes PEFT train the head.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.document import Mapping
from loraplan.formats.python_calls import calls, loads_model
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_TASKS = frozenset(("SEQ_CLS", "TOKEN_CLS"))
_HEADS = ("score", "classifier", "classification_head", "head")


@rule(
    code="ARC005",
    name="classifier-head-not-trained",
    severity="error",
    why="the head starts at random values, and LoRA freezes it unless the task type or modules_to_save names it",
    reads=(
        "adapter.task_type",
        "adapter.modules_to_save",
        "method",
    ),
    hand_rolled=False,
    evidence=(
        Evidence(
            "classification needs the head trained",
            "https://huggingface.co/docs/peft/developer_guides/troubleshooting",
            "peft 0.21.2, run",
        ),
        Evidence(
            "modules_to_save for the head",
            "https://huggingface.co/docs/trl/reward_trainer",
            "documentation",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if adapter.method != "lora" or not is_lora(plan) or (adapter.task_type or "") in _TASKS:
        return
    text = reading.document.text
    if any(name.rpartition(".")[2] in _HEADS for name in adapter.modules_to_save or ()):
        return
    kind = None
    if reading.document.syntax == "python":
        if any(task in text for task in _TASKS) or "requires_grad" in text or "modules_to_save" in text:
            return
        kind = _loaded(reading.root) if isinstance(reading.root, Mapping) else None
        if kind is None and plan.method == "reward" and "RewardTrainer" in text:
            kind = "SequenceClassification"
    elif reading.format == "trl" and plan.method == "reward":
        kind = "SequenceClassification"
    if kind is None:
        return
    task = "TOKEN_CLS" if kind == "TokenClassification" else "SEQ_CLS"
    key = ctx.key("adapter.task_type")
    stops = adapter.task_type == "CAUSAL_LM"
    yield Finding(
        f"{ctx.said('adapter.task_type')} for a {kind} model: "
        + ("peft stops, since it cannot generate" if stops else "its new head is not trained"),
        at="adapter.task_type",
        remedy=f"set {key} to {task}",
        fix=Fix(f"set {key} to {task}", (Set("adapter.task_type", task),), "safe"),
    )


def _loaded(root: Mapping) -> str | None:
    """The kind of classifier that a script loads."""
    for call in calls(root):
        for kind in ("SequenceClassification", "TokenClassification"):
            if loads_model(call) and f"For{kind}" in (call.call or ""):
                return kind
    return None
