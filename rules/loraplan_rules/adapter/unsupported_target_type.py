"""A target is of a class that LoRA has no layer for.

## What it does
With the model's architecture known, flags targets that select a module PEFT cannot adapt: a norm, a whole block, a
router of its own class, the `out_proj` and `conv1d` of Mamba models. Also a targeted `lm_head` under TRL's SFT and DPO
trainers, which refuse an adapter there.

## Why is this bad?
PEFT stops with "Target module ... is not supported" after the model has been loaded; Mamba's fast kernels read past the
adapter, which is why PEFT refuses those. TRL 1.x multiplies the hidden states with `lm_head.weight` itself, so an
adapter there would never be trained.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj", "norm"]
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"]
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/model.py`: Linear, Embedding, Conv1d to Conv3d, Conv1D and MultiheadAttention; `LlamaRMSNorm`
  and `Qwen2MoeTopKRouter` raise (run).
- peft 0.21.2 `tuners/tuners_utils.py` `_check_lora_target_modules_mamba`.
- trl 1.16.0 `trainer/sft_trainer.py`, `trainer/dpo_trainer.py`: the check of the output embeddings.

## What it does not flag
- A router that is a plain linear layer in transformers 4: an info while the version of transformers is unknown.
- `lm_head` under TRL of an unknown version: an info. Unsloth and axolotl, which replace some classes before PEFT sees
  them: an info.
- Frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Safe: the entry is removed where others remain, since with it nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.reach import listed as reached
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import judgeable, made_by_peft, target_span
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, Severity, rule

_REPLACING = frozenset(("axolotl", "unsloth"))


@rule(
    code="TGT006",
    name="unsupported-target-type",
    severity="error",
    why="peft has no LoRA layer for this class and stops",
    reads=("adapter.target_modules", "model.name", "method"),
    needs=("arch",),
    evidence=(
        Evidence(
            "Target module ... is not supported",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/model.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "no adapter on lm_head",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_trainer.py",
            "trl 1.16.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    targets = plan.adapter.target_modules
    if targets is None or not is_lora(plan) or not judgeable(plan, ctx.reading):
        return
    head = _head(plan, ctx)
    if head is not None:
        yield head
        if ctx.arch_or_none is None:
            return
    if not made_by_peft(ctx.reading):
        return
    matched, arch = ctx.matched, ctx.arch
    if not matched.unsupported:
        return
    kinds = {m.name: m.kind for m in arch.modules}
    by_version = all(kinds.get(name) == "Router" for name in matched.unsupported)
    severity: Severity | None = None
    if ctx.reading.format in _REPLACING or (by_version and ctx.version("transformers") is None):
        severity = "info"
    key = ctx.key("adapter.target_modules")
    odd = [m for m in arch.modules if m.name in matched.unsupported]
    entries = [entry for entry in targets if reached((entry,), odd, set())] if isinstance(targets, tuple) else []
    rest = tuple(entry for entry in targets if entry not in entries) if isinstance(targets, tuple) else ()
    names = listed(entries or dict.fromkeys(name.rpartition(".")[2] for name in matched.unsupported))
    yield Finding(
        f"{names} in {arch.name} {'are' if ' and ' in names else 'is'} of a class that LoRA cannot adapt"
        + (" in transformers 5" if by_version else ""),
        at=target_span(ctx.reading, entries[0]) if entries else "adapter.target_modules",
        severity=severity,
        remedy=f"remove {names} from {key}",
        fix=Fix(f"set {key} to {', '.join(rest)}", (Set("adapter.target_modules", rest),), "safe")
        if rest and entries
        else None,
    )


def _head(plan: Plan, ctx: Context) -> Finding | None:
    """An adapter on the output layer under TRL's trainers."""
    targets, reading = plan.adapter.target_modules, ctx.reading
    if reading.framework != "trl" or plan.method not in ("sft", "dpo") or not isinstance(targets, tuple):
        return None
    heads = [name for name in targets if name.rpartition(".")[2] == "lm_head"]
    version = ctx.version("trl")
    if not heads or (version is not None and version.startswith("0.")):
        return None
    return Finding(
        f"{heads[0]}: TRL 1.x refuses an adapter on the output layer, which its loss reads past",
        at=target_span(reading, heads[0]),
        severity="info" if version is None else None,
        why="the log-probabilities are computed from lm_head.weight directly",
        remedy=f"remove {heads[0]} from {ctx.key('adapter.target_modules')}",
    )
