"""The loss cannot be masked as asked.

## What it does
Reports TRL's `completion_only_loss` with a `formatting_func`, and LLaMA-Factory's `mask_history` with
`train_on_prompt`. In preview, as a note, also loss on the prompts (`train_on_prompt`, axolotl's `train_on_inputs`).

## Why is this bad?
Both combinations raise ValueError: a formatted example has no completion of its own, and the history cannot be
masked and trained at once. Training on prompts spends capacity on text that users write; whether that helps depends
on the task, hence a note.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
train_on_prompt: true
mask_history: true
```

## Use instead
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
mask_history: true
```

## Options
None.

## Evidence
- trl 1.16.0, `trainer/sft_trainer.py`: completion_only_loss with a formatting function.
- LLaMA-Factory 0.9.5, `hparams/data_args.py`: mask_history is incompatible with train_on_prompt.

## What it does not flag
Datasets whose columns would be needed to judge (`assistant_only_loss` on plain text).

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import family
from loraplan.document import Mapping, walk
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import on


def _formats(call: Mapping) -> bool:
    return (call.call or "").endswith("SFTTrainer") and call.get("formatting_func") is not None


@rule(
    code="DAT005",
    name="loss-mask-impossible",
    severity="error",
    why="the framework refuses this combination",
    reads=("data.completion_only_loss", "data.train_on_prompt", "method"),
    evidence=(
        Evidence(
            "completion_only_loss with a formatting function",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_trainer.py",
            "source read at trl 1.16.0",
        ),
        Evidence(
            "mask_history is incompatible with train_on_prompt",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/data_args.py",
            "source read at 0.9.5",
        ),
    ),
    hand_rolled=True,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    data, document = plan.data, ctx.reading.document
    both = ctx.reading.format == "llamafactory" and on(ctx, "mask_history") and data.train_on_prompt
    if both and ctx.explicit("data.train_on_prompt"):
        yield Finding(
            "train_on_prompt with mask_history: LLaMA-Factory refuses the two",
            at="data.train_on_prompt",
            remedy="remove one of them",
        )
        return
    if data.completion_only_loss and ctx.explicit("data.completion_only_loss") and document.syntax == "python":
        if any(isinstance(item, Mapping) and _formats(item) for root in document.roots for _, item in walk(root)):
            yield Finding(
                f"{ctx.key('data.completion_only_loss')} with a formatting_func: trl refuses the two",
                at="data.completion_only_loss",
                remedy="format the dataset before it is passed",
            )
        return
    if data.train_on_prompt and ctx.explicit("data.train_on_prompt") and family(plan) == "sft":
        yield Finding(
            f"{ctx.said('data.train_on_prompt')}: the loss covers the prompts too",
            at="data.train_on_prompt",
            remedy=f"set {ctx.key('data.train_on_prompt')} to false to train on answers alone",
            severity="info",
            preview=True,
        )
