"""An entry of `modules_to_save` trains nothing, or takes LoRA away.

## What it does
With the model's architecture known, flags entries of `modules_to_save` that match no module (PEFT takes every module
whose name ends in the entry, or that lies inside it) as errors, and entries that stand in `target_modules` too as
warnings.

## Why is this bad?
PEFT says nothing in either case: an entry that matches nothing is not trained and not saved, and one that is a target
too is trained as a whole matrix while its LoRA layer is dropped.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_modules_to_save: [embed_token, lm_head]
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
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_modules_to_save: [embed_tokens, lm_head]
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

## Options
No options.

## Evidence
- peft 0.21.2: `modules_to_save=["nope"]` is silent, and `q_proj` in both lists is left without LoRA (run).
- peft 0.21.2 `utils/other.py` `_set_trainable`: an error there is raised only for other wrappers, where nothing at all
  is found.

## What it does not flag
- GPT-NeoX's `embed_out`, which transformers 5 calls `lm_head`: an info while the version is unknown.
- Heads that the loaded class adds (`score`, `classifier`, `v_head` and the like), dotted names in models with a vision
  tower, which have moved between versions of transformers.
- Frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Safe where an entry is one edit away from exactly one module; otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.match import leaf_names, saved_modules
from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable, legible, made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_RENAMED = frozenset(("embed_out",))
"""GPT-NeoX's output layer up to transformers 4; `lm_head` in 5.23.0."""
_HEADS = frozenset(
    "score classifier classification_head qa_outputs v_head value_head reward_head summary pooler".split()
)


@rule(
    code="TGT007",
    name="modules-to-save-ineffective",
    severity="error",
    why="peft does not report an entry that matches nothing, nor the LoRA layer that an entry replaces",
    reads=("adapter.modules_to_save", "adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "names that match nothing are skipped",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/other.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    saved = tuple(name for name in adapter.modules_to_save or () if name)
    if not saved or not is_lora(plan) or not made_by_peft(ctx.reading) or not legible(saved):
        return
    key, arch = ctx.key("adapter.modules_to_save"), ctx.arch
    targets = adapter.target_modules if isinstance(adapter.target_modules, tuple) else ()
    for name, modules in saved_modules(saved, arch).items():
        leaf = name.rpartition(".")[2]
        if name in targets and modules and judgeable(plan, ctx.reading):
            yield Finding(
                f"{name} is in {key} and in {ctx.key('adapter.target_modules')}: peft trains it whole, without LoRA",
                at="adapter.modules_to_save",
                severity="warning",
                why="what is in modules_to_save gets no LoRA layer, without a word",
                remedy=f"name {name} in one of the two",
            )
        old = (ctx.version("transformers") or "").startswith(("3.", "4."))
        if modules or leaf in _HEADS or (old and leaf in _RENAMED) or (arch.multimodal and "." in name):
            continue
        near = _near(leaf, leaf_names(arch))
        new = tuple(dict.fromkeys(near if item == name else item for item in saved)) if near else ()
        yield Finding(
            f"{name} in {key} matches no module of {arch.name}: it is neither trained nor saved",
            at="adapter.modules_to_save",
            severity="info" if leaf in _RENAMED and ctx.version("transformers") is None else None,
            remedy=f"write {near}" if near else f"remove {name} from {key}, or name a module of this model",
            fix=Fix(f"replace {name} with {near}", (Set("adapter.modules_to_save", new),), "safe") if near else None,
        )


def _near(name: str, known: tuple[str, ...]) -> str | None:
    from loraplan.formats.table import edit_distance

    close = [other for other in known if edit_distance(name, other, 1) <= 1]
    return close[0] if len(close) == 1 else None
