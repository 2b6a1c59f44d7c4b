"""Packed examples see each other.

## What it does
Reports TRL's packing with the strategy `wrapped`, axolotl's `sample_packing` without an attention backend that
isolates samples, and LLaMA-Factory's `packing` in supervised training without `neat_packing`. Also TRL's
`padding_free` without packing while a maximum length is set: trl 1.16 refuses it (a note where the version is not
known).

## Why is this bad?
Several examples share one sequence. Unless attention is cut at their borders, an answer is trained on the examples
before it; `wrapped` also cuts examples in the middle. The loss looks better than it is.

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
packing: true
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
packing: true
neat_packing: true
```

## Options
None.

## Evidence
- trl 1.16.0, `trainer/sft_trainer.py`: padding_free without packing does not enforce max_length and is refused; bfd
  is padding-free.
- axolotl 0.19.0, `utils/schemas/validation.py`: check_sample_packing_without_attention.
- LLaMA-Factory 0.9.5, `hparams/data_args.py`: neat_packing: without cross-attention.
- <https://github.com/huggingface/trl/issues/1230>: packing made a result worse, which its author puts down to
  contamination. trl issue 3910 measured it: 0.03 to 0.15 in the final loss, packed without FlashAttention.

## What it does not flag
TRL's default strategy `bfd`, whatever the attention: trl 1.16 passes positions that restart with every example, and
transformers 5.23 masks by them in every backend. Pretraining, where packing is usual. Hand-rolled files.

## Fix safety
Unsafe: other sequences are trained.
"""

from __future__ import annotations

from loraplan.derived import family
from loraplan.formats.table import version_in
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.nodes import node, on

_TRL = frozenset(("trl", "python"))


@rule(
    code="DAT002",
    name="packing-contaminates",
    severity="warning",
    why="without borders in the attention, an example is trained on the ones before it",
    reads=(
        "data.packing",
        "data.packing_strategy",
        "data.padding_free",
        "data.max_length",
        "model.attn_implementation",
        "method",
    ),
    evidence=(
        Evidence(
            "padding_free without packing does not enforce max_length and is refused; bfd is padding-free",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_trainer.py",
            "source read at trl 1.16.0",
        ),
        Evidence(
            "check_sample_packing_without_attention",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "neat_packing: without cross-attention",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/data_args.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "contamination",
            "https://github.com/huggingface/trl/issues/1230",
            "issue read",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    data, form = plan.data, ctx.reading.format
    padding_free = data.padding_free and ctx.explicit("data.padding_free") and family(plan) == "sft"
    if form in _TRL and padding_free and not data.packing and data.max_length:
        known = ctx.version("trl")
        if known is None or version_in(known, ">=1.16"):
            yield Finding(
                f"{ctx.key('data.padding_free')} without packing does not enforce {ctx.said('data.max_length')}:"
                " trl 1.16 refuses it",
                at="data.padding_free",
                remedy="turn packing on",
                severity="info" if known is None else "error",
            )
        return
    if not data.packing or not ctx.explicit("data.packing") or family(plan) == "pretraining":
        return
    if form in _TRL and (data.packing_strategy or "").lower() == "wrapped":
        yield Finding(
            f"{ctx.key('data.packing_strategy')} wrapped cuts examples in two and joins strangers",
            at="data.packing_strategy",
            remedy="use bfd, the default",
            fix=Fix("use bfd", (Set("data.packing_strategy", "bfd"),), "unsafe"),
        )
    elif form == "llamafactory" and family(plan) == "sft" and not on(ctx, "neat_packing"):
        yield Finding(
            "packing without neat_packing: packed examples see each other",
            at="data.packing",
            remedy="set neat_packing to true",
        )
    elif form == "axolotl" and plan.model.attn_implementation is None and node(ctx, "attn_implementation") is None:
        if any(node(ctx, key) is not None for key in ("flash_attention", "plugins", "gemma4_hybrid_attn_impl")):
            return
        yield Finding(
            "sample_packing without an attention backend: packed examples see each other",
            at="data.packing",
            remedy="set attn_implementation to flash_attention_2",
        )
