"""A key of `rank_pattern` or `alpha_pattern`, or an exclusion, applies to nothing.

## What it does
With the model's architecture known, flags each key of `rank_pattern` and `alpha_pattern` that fits no adapted module
(PEFT's rule: the key, as a regular expression, is the end of the name after a dot), as a warning; and entries of
`exclude_modules` that exclude nothing, as an info.

## Why is this bad?
The rank or alpha that was meant for those modules is not used: they have the general one, or are not adapted at all.
PEFT warns only when the model is built.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "rank_pattern": {"down_proj": 8}
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "down_proj"],
  "rank_pattern": {"down_proj": 8}
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `utils/other.py` `get_pattern_key`, `tuners/tuners_utils.py`: "rank_pattern keys did not match any
  targeted module and were ignored" (run); `^model.q` fits nothing either, since the expression is wrapped.
- `exclude_modules` as a list is silent where nothing is excluded, as a string it warns (run).

## What it does not flag
- Keys about experts that PEFT itself turns into parameters (`gate_up_proj`): PEFT's own warning about them is a false
  one.
- Invalid regular expressions, frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.pattern import BadPattern, Pattern, is_plain
from loraplan.arch.reach import listed as reached
from loraplan.arch.reach import only
from loraplan.arch.spec import Module
from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable, legible
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_FUSED = ("gate_up_proj", "experts", "down_proj", "up_proj", "gate_proj", "w1", "w2", "w3")


@rule(
    code="TGT009",
    name="pattern-key-unmatched",
    severity="warning",
    why="a key that fits no adapted module changes nothing",
    reads=("adapter.rank_pattern", "adapter.alpha_pattern", "adapter.exclude_modules", "adapter.target_modules"),
    needs=("arch",),
    evidence=(
        Evidence(
            "keys did not match any targeted module",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not (adapter.rank_pattern or adapter.alpha_pattern or adapter.exclude_modules):
        return
    if not is_lora(plan) or not judgeable(plan, ctx.reading) or not ctx.matched.modules:
        return
    modules = list(ctx.matched.modules)
    fused = any(module.kind == "Parameter" for module in modules)
    keys = [("adapter.rank_pattern", adapter.rank_pattern), ("adapter.alpha_pattern", adapter.alpha_pattern)]
    for field, patterns in keys:
        for key in patterns or ():
            if (fused and any(name in key for name in _FUSED)) or _fits(key, modules):
                continue
            yield Finding(
                f"{key} in {ctx.key(field)} fits no adapted module of {ctx.arch.name}: its value is not used",
                at=field,
                remedy=f"name an adapted module, such as {modules[0].name.rpartition('.')[2]}, or remove {key}",
            )
    excluded = adapter.exclude_modules
    if excluded and not ctx.matched.excluded and not fused and legible(excluded):
        if _names(excluded, list(ctx.arch.modules)):
            return  # it names modules of this model, only none that is a target: belt and braces
        yield Finding(
            f"{ctx.said('adapter.exclude_modules')} excludes nothing in {ctx.arch.name}",
            at="adapter.exclude_modules",
            severity="info",
            remedy="name modules of this model, or remove it",
        )


def _names(excluded: tuple[str, ...] | str, modules: list[Module]) -> bool:
    """Whether an exclusion fits any module of the model."""
    if isinstance(excluded, tuple):
        return bool(reached(excluded, modules, set()))
    pattern = Pattern(excluded)
    return any(only(module, pattern.fullmatch, pattern.digits) is not None for module in modules)


def _fits(key: str, modules: list[Module]) -> bool:
    """Whether a pattern's key is the end of an adapted module's name; one that cannot be judged counts as fitting."""
    if is_plain(key) and reached((key,), modules, set()):
        return True
    try:
        pattern = Pattern(rf"(.*\.)?({key})")
    except BadPattern:
        return True
    return any(only(module, pattern.fullmatch, True) is not None for module in modules)
