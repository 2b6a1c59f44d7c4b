"""`layers_to_transform` names layers that the model does not have.

## What it does
With the model's architecture known, flags indices of `layers_to_transform` below 0 or beyond the last layer: an error
where none of them is left, a warning where some are. mlx-lm's `num_layers` above the number of layers is an error.

## Why is this bad?
PEFT is silent while one index fits (layers count from 0, so the 32 layers of an 8B Llama end at 31; -1 does not count
from the end) and adapts fewer layers than were meant; with none it stops. mlx-lm stops.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "layers_to_transform": [28, 29, 30, 31, 32]
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "layers_to_transform": [28, 29, 30, 31]
}
```

## Options
No options.

## Evidence
- peft 0.21.2: `layers_to_transform=[0, 7]` and `[-1, 0]` on two layers are silent, `[7]` raises (run).
- mlx-lm 0.32.2 `lora.py`: "Requested to train N layers but the model only has M".

## What it does not flag
- Vision towers with more layers than the text model: an index that they have is not out of range.
- Models whose architecture is unknown.

## Fix safety
No fix: which layers were meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora, listed
from loraplan.formats.targets import made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule
from loraplan_rules.keys import entry


@rule(
    code="TGT008",
    name="layers-to-transform-out-of-range",
    severity="error",
    why="layers count from 0, and peft does not report an index that no layer has",
    reads=("adapter.layers_to_transform", "adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "an index that fits nothing is skipped",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "Requested to train more layers than the model has",
            "https://github.com/ml-explore/mlx-lm/blob/main/mlx_lm/lora.py",
            "source read at 0.32.2",
        ),
    ),
    suppresses=("TGT001",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan):
        return
    last = ctx.reading.facts.get("last_layers")
    if isinstance(last, int) and ctx.reading.format == "mlx-lm":
        place = entry(ctx.reading, "num_layers")
        if last > ctx.arch.num_layers and place is not None:
            yield Finding(
                f"num_layers {last}: {ctx.arch.name} has {ctx.arch.num_layers}, and mlx-lm stops",
                at=place.value.span,
                why="mlx-lm counts the layers before it trains",
                remedy=f"set num_layers to {ctx.arch.num_layers}, or to -1 for all",
            )
        return
    wanted = plan.adapter.layers_to_transform
    if not wanted or not made_by_peft(ctx.reading):
        return
    have = set(range(ctx.arch.num_layers)).union(*(m.layers for m in ctx.arch.modules if m.layers is not None))
    outside = [index for index in wanted if index not in have]
    if not outside:
        return
    some = len(outside) < len(wanted)
    what = f"layer {outside[0]} does" if len(outside) == 1 else f"layers {listed(map(str, outside))} do"
    yield Finding(
        f"{what} not exist in {ctx.arch.name}, which has 0 to {ctx.arch.num_layers - 1}"
        + (": the others are adapted without a word" if some else ": nothing is adapted, and peft stops"),
        at="adapter.layers_to_transform",
        severity="warning" if some else None,
        remedy=f"name layers from 0 to {ctx.arch.num_layers - 1}",
    )
