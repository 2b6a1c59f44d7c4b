"""fp16 training of a model that was published in bfloat16.

## What it does
Reports fp16 for a model whose weights are published in bfloat16. A warning with `--gpu` naming a card that has
bfloat16, otherwise a note.

## Why is this bad?
float16 ends at 65,504 and bfloat16 at 3.4e38: activations of a model trained in bfloat16 may overflow to infinity,
and the loss becomes NaN.

## Example
```yaml sft.yaml gpu=a100
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
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
fp16: true
output_dir: out
```

## Use instead
```yaml sft.yaml gpu=a100
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
```

## Options
None.

## Evidence
- torch 2.13.0, `torch.finfo`: 65,504 and 3.39e38 (run).
- `torch_dtype` is bfloat16 in the published `config.json` of each family, read in public copies: Qwen2-7B-Instruct and
  Phi-3-mini (ThanatosShinji/onnx-tool `onnx_tool/llm.py`@c58db719), Llama-3.3-70B (ai-dynamo/aiconfigurator
  `src/aiconfigurator/model_configs`@f577ab84), Qwen3-4B, -8B and -14B, Qwen3-30B-A3B, Mistral-7B-v0.1 and
  Mixtral-8x7B-v0.1 (articles that quote the file).

## What it does not flag
Models whose architecture is not known, families whose members differ (Gemma 2 was published in float32 and
bfloat16), and runs in bf16. Many runs of this kind work, therefore it is a note where the card is not known or has
no bfloat16.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

from loraplan.arch.spec import ArchSpec
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule

_BFLOAT16 = frozenset(("qwen2", "qwen3", "qwen3_moe", "mistral", "mixtral", "phi3"))
_LLAMA3_VOCABULARY = 128256


def _published_in_bfloat16(arch: ArchSpec) -> bool:
    if arch.dtype is not None:
        return arch.dtype == "bfloat16"
    return arch.model_type in _BFLOAT16 or (arch.model_type == "llama" and arch.vocab_size == _LLAMA3_VOCABULARY)


@rule(
    code="PRC005",
    name="fp16-on-bf16-model",
    severity="warning",
    why="values beyond 65,504 overflow in float16; the model was trained with a wider range",
    reads=("precision.fp16", "model.name"),
    evidence=(
        Evidence(
            "the ranges of the two types",
            "https://docs.pytorch.org/docs/stable/type_info.html",
            "run with torch 2.13.0",
        ),
        Evidence(
            "torch_dtype is bfloat16 in Llama 3.3; the page names the copies for the other families",
            "https://github.com/ai-dynamo/aiconfigurator/tree/main/src/aiconfigurator/model_configs",
            "published configs, read in copies",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    arch = ctx.arch_or_none
    if not plan.precision.fp16 or plan.precision.bf16 or not ctx.explicit("precision.fp16"):
        return
    if arch is None or not _published_in_bfloat16(arch):
        return
    gpu = ctx.gpu_or_none
    modern = gpu is not None and gpu.capability is not None and gpu.capability >= (8, 0)
    old = gpu is not None and not modern
    fp16, bf16 = ctx.key("precision.fp16"), ctx.key("precision.bf16")
    remedy = f"set {bf16} instead of {fp16}" if bf16 != fp16 else f"set {bf16} to bf16"
    said = ctx.said("precision.fp16") if fp16.endswith("fp16") else f"{fp16} fp16"  # mixed_precision: fp16
    yield Finding(
        f"{said}, but {arch.name} was published in bfloat16: watch for overflow",
        at="precision.fp16",
        remedy="watch the loss for NaN" if old else f"{remedy}, where the card has bfloat16",
        severity=None if modern else "info",
        fix=Fix(remedy, (Set("precision.fp16", False), Set("precision.bf16", True)), "unsafe") if not old else None,
    )
