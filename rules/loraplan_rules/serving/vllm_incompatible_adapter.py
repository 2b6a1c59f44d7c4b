"""vLLM does not load an adapter of this kind.

## What it does
With the option `serve` set to `vllm`, flags DoRA, `modules_to_save`, `bias` other than none, and adapters in a vision
tower.

## Why is this bad?
vLLM refuses such an adapter when it is loaded. Merged into the base it can be served.

## Example
```json adapter_config.json preview SRV001.serve=vllm
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "modules_to_save": ["lm_head"]
}
```

## Use instead
```json adapter_config.json preview SRV001.serve=vllm
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "modules_to_save": null
}
```

## Options
- `serve` (empty): `vllm` where the adapter is to be served by vLLM; anything else leaves the rule silent.

## Evidence
- vLLM `lora/peft_helper.py`: "vLLM does not yet support DoRA", "vLLM only supports modules_to_save being None" (read in
  a stored copy; the release in use may know more, hence the preview set).

## What it does not flag
- Runs whose settings do not say that vLLM serves them: the rule is silent without its option.

## Fix safety
No fix: merge the adapter, or train it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="SRV001",
    name="vllm-incompatible-adapter",
    severity="warning",
    why="vLLM loads plain LoRA only",
    reads=(
        "adapter.use_dora",
        "adapter.modules_to_save",
        "adapter.bias",
        "adapter.target_modules",
        "model.name",
    ),
    preview=True,
    options={"serve": ""},
    evidence=(
        Evidence(
            "what is refused",
            "https://github.com/vllm-project/vllm/blob/main/vllm/lora/peft_helper.py",
            "commit 0214369",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if ctx.options.serve.lower() != "vllm" or not is_lora(plan):
        return
    fields = {
        "adapter.use_dora": bool(adapter.use_dora),
        "adapter.modules_to_save": bool(adapter.modules_to_save),
        "adapter.bias": adapter.bias in ("all", "lora_only"),
    }
    for field, on in fields.items():
        if on:
            yield Finding(
                f"{ctx.said(field)}: vLLM does not load such an adapter",
                at=field,
                remedy="merge the adapter into the base before serving, or train without it",
            )
    arch = ctx.arch_or_none
    if arch is None or not arch.multimodal or not judgeable(plan, ctx.reading):
        return
    if any(m.part in ("vision", "audio", "projector") for m in ctx.matched.modules):
        yield Finding(
            f"adapters in a tower of {arch.name}: vLLM does not load them",
            at="adapter.target_modules",
            remedy="exclude the tower, or merge the adapter before serving",
        )
