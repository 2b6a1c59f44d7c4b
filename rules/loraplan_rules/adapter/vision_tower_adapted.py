r"""A text-only run adapts the model's vision or audio tower too.

## What it does
With the model's architecture known, flags targets that reach the vision tower, the audio tower or the projector of a
multimodal model: a warning where the data are known to be text (a well-known text data set, or packed sequences), an
info where nothing tells.

## Why is this bad?
Names such as `q_proj`, and all-linear, match in every tower: Qwen2.5-VL with Llama's seven names adapts MLP layers of
the vision tower, Gemma 3 with `q_proj` and `v_proj` as many projections there as in the text model. Without images they
get no gradient or a meaningless one, cost memory, and vLLM refuses such an adapter.

## Example
```yaml
base_model: Qwen/Qwen2.5-VL-7B-Instruct
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Use instead
```yaml
base_model: Qwen/Qwen2.5-VL-7B-Instruct
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: '.*\.language_model\..*_proj'
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
No options.

## Evidence
- peft 0.21.2 on tiny models: Gemma 3 with two names puts half of its adapters into the tower, Qwen2.5-VL with
  all-linear about half (run).
- Reports: Roblox/FAI-RL pull request 86 (names that fit the frozen tower too), vLLM issue 29639 (the server leaves
  such adapters out; newer releases load them for some models), axolotl pull request 3500 (Gemma 3 loads whole "even for
  text-only data").
- axolotl 0.19.0 `utils/config/__init__.py`: `is_multimodal` holds for every model type of transformers'
  image-text-to-text mapping, and `loaders/model.py` then takes that class.

## What it does not flag
- Runs that say they want images: a processor, image columns or folders, a data set or output folder named after images,
  `FastVisionModel`, a vision trainer.
- Frameworks that freeze the tower themselves: LLaMA-Factory and ms-swift by default, Unsloth by its own switches.
- Llama 3.2 Vision, Llama 4 and Qwen3.5 where the language model is loaded alone or may be: `AutoModelForCausalLM` does
  that, oumi with `text_only: true` and NeMo Automodel's causal class use it. axolotl and LLaMA-Factory load such models
  whole whatever the data are.
- Adapters that are trained already, frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Unsafe: `exclude_modules` keeps the towers as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.text import text_model
from loraplan.derived import is_lora, listed
from loraplan.formats.loading import text_alone
from loraplan.formats.targets import judgeable, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_TOWERS = frozenset(("vision", "audio", "projector"))
_FREEZING = frozenset(("llamafactory", "ms-swift", "unsloth"))
_IMAGES = (
    "vision", "image", "visual", "llava", "vqa", "mllm", "multimodal", "vlm", "ocr", "audio", "speech", "video",
    "pixel", "caption", "geometry3k", "clevr", "docmatix", "processor", "cauldron", "pokemon", "chart", "-vl-", "_vl_",
)  # fmt: skip
_TEXT = (
    "alpaca", "capybara", "ultrachat", "tulu", "gsm8k", "slimorca", "openorca", "guanaco", "oasst", "dolly", "hermes",
    "finetome", "hh-rlhf", "ultrafeedback", "metamath", "magpie", "wikitext", "no_robots", "sharegpt", "orca-math",
    "code_instruct", "dolphin", "wizardlm", "imdb", "squad", "tinystories", "smoltalk", "openassistant",
)  # fmt: skip


@rule(
    code="TGT013",
    name="vision-tower-adapted",
    severity="warning",
    why="text trains no tower well, and an adapter with tower weights is refused by some servers",
    reads=("adapter.target_modules", "adapter.exclude_modules", "model.name", "data.datasets", "data.packing"),
    needs=("arch",),
    evidence=(
        Evidence("adapters in the vision tower", "https://github.com/Roblox/FAI-RL/pull/86", "pull request read"),
        Evidence("left out by a server", "https://github.com/vllm-project/vllm/issues/29639", "issue read"),
    ),
    hand_rolled=False,
)  # fmt: skip
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    reading = ctx.reading
    if not is_lora(plan) or reading.format in _FREEZING or trained(reading) or not judgeable(plan, reading):
        return
    if reading.facts.get("trained_adapter") or plan.model.task == "vision_language" or _wants_images(plan, ctx):
        return
    arch = ctx.arch
    if text_alone(reading, arch.model_type) is None and not text_model(arch).multimodal:
        return  # the towers may not even be loaded
    inside = [m for m in ctx.matched.modules if m.part in _TOWERS]
    if not inside:
        return
    tops = list(dict.fromkeys(_tower(m.name) for m in inside))
    pattern = rf".*\.{tops[0]}\..*" if len(tops) == 1 else rf".*\.({'|'.join(tops)})\..*"
    names = " ".join(plan.data.datasets or ()).lower()
    is_text = bool(plan.data.packing) or any(name in names for name in _TEXT)
    key = ctx.key("adapter.exclude_modules")
    settable = "adapter.exclude_modules" in reading.keys and plan.adapter.exclude_modules is None
    count, total = sum(m.copies for m in inside), sum(m.copies for m in ctx.matched.modules)
    yield Finding(
        f"{count:,} of {total:,} adapted modules are in {listed(tops)} of {arch.name}"
        + (", and the data are text" if is_text else ""),
        at="adapter.target_modules",
        severity=None if is_text else "info",
        remedy=f"set {key} to {pattern}" if settable else "name targets of the language model only",
        fix=Fix(f"set {key} to {pattern}", (Set("adapter.exclude_modules", pattern),), "unsafe") if settable else None,
    )


def _wants_images(plan: Plan, ctx: Context) -> bool:
    """Whether anything but the model's own name speaks of images, video or sound."""
    text = ctx.reading.document.text
    for name in (plan.model.name, (plan.model.name or "").rpartition("/")[2]):
        text = text.replace(name, "") if name else text
    told = "\n".join(line.partition("#")[0] for line in f"{ctx.reading.document.path}\n{text}".splitlines())
    for key in ("lora_target_modules", "target_modules", "exclude_modules", "freeze", "train_vision"):
        told = "\n".join(line for line in told.splitlines() if key not in line)
    return any(word in told.lower() for word in _IMAGES)


def _tower(name: str) -> str:
    parts = [part for part in name.split(".") if part not in ("model", "base_model")]
    return parts[0]
