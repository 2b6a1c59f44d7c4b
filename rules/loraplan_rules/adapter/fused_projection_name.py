"""The targets are named as in another model family, whose projections are split otherwise.

## What it does
With the model's architecture known, flags target names that match nothing because this family fuses what they name (or
splits it), and says what it is called here: Phi-3 `qkv_proj` and `gate_up_proj`; GPT-2 `c_attn`, `c_proj`, `c_fc`;
Falcon, BLOOM, GPT-NeoX and ChatGLM `query_key_value`, `dense`, `dense_h_to_4h`, `dense_4h_to_h`; MPT `Wqkv`; Baichuan
`W_pack`; InternLM2 `wqkv`, `wo`, `w1`, `w2`, `w3`.

## Why is this bad?
PEFT stops if nothing matches, and is silent if a part does: Phi-3 with Llama's seven names trains `o_proj` and
`down_proj` only. Query and value alone cannot be adapted where one matrix holds query, key and value.

## Example
```yaml
base_model: microsoft/Phi-3-mini-4k-instruct
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
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
base_model: microsoft/Phi-3-mini-4k-instruct
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [qkv_proj, o_proj, gate_up_proj, down_proj]
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
- Phi-3 with Llama's seven names adapts two of them, silently (peft 0.21.2, run).
- PEFT's table of default targets by model type: `utils/constants.py`, peft 0.21.2.
- LLaMA-Factory issue 4020: Phi-3 small and medium differ.

## What it does not flag
- A list that names this family's layers as well (made to serve several families), as long as it covers what the other
  names mean.
- Frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Safe where every name that matches nothing has an equivalent here and no more is adapted than was named; unsafe where a
fused matrix takes in more.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.names import equivalents, leaves, role
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import legible, made_by_peft, target_span
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_FUSED = {"qkv": frozenset("qkv"), "gate_up": frozenset(("gate", "up"))}


@rule(
    code="ARC001",
    name="fused-projection-name",
    severity="error",
    why="this family fuses or splits these projections, so the names match nothing in it",
    reads=("adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "default targets by model type",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/constants.py",
            "peft 0.21.2",
        ),
        Evidence("a report", "https://github.com/hiyouga/LLaMA-Factory/issues/4020", "issue thread"),
    ),
    suppresses=("TGT001", "TGT002", "TGT004", "TGT005", "RNK005"),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    targets = plan.adapter.target_modules
    if not isinstance(targets, tuple) or not is_lora(plan) or not made_by_peft(ctx.reading):
        return
    unmatched = ctx.matched.unmatched if legible(targets) else ()
    if not unmatched:
        return
    arch = ctx.arch
    known = leaves(arch)
    named = {role(name) for name in targets}
    meant = {name: equivalents(name, arch) for name in unmatched}
    # a fused or split layer is in play; a mere other name for the same layer is TGT002's business
    if not any(
        {known[other], role(name)} & set(_FUSED) and known[other] != role(name) and other not in targets
        for name in unmatched
        for other in meant[name]
    ):
        return
    missing = [name for name in unmatched if not set(meant[name]) <= set(targets)]
    new = tuple(dict.fromkeys(other for name in targets for other in (meant.get(name) or (name,))))
    more = [
        other
        for other in new
        if other in known and known[other] in _FUSED and known[other] not in named and not _FUSED[known[other]] <= named
    ]
    key = ctx.key("adapter.target_modules")
    message = f"{listed(missing)} {'match' if len(missing) > 1 else 'matches'} nothing in {arch.name}"
    called = dict.fromkeys(other for name in missing for other in meant[name])
    message += f", where {'they are' if len(missing) > 1 else 'it is'} {listed(called)}"
    if more:
        held = "query, key and value" if known[more[0]] == "qkv" else "gate and up"
        message += f"; {more[0]} holds {held}, which cannot be adapted one by one"
    lost = [name for name in unmatched if not meant[name]]
    if lost:
        message += f"; {listed(lost)} {'match' if len(lost) > 1 else 'matches'} nothing either"
    exact = not lost
    yield Finding(
        message,
        at=target_span(ctx.reading, missing[0]),
        remedy=f"set {key} to {', '.join(new)}" if exact else f"use {listed(called)}",
        fix=Fix(f"set {key} to {', '.join(new)}", (Set("adapter.target_modules", new),), "unsafe" if more else "safe")
        if exact
        else None,
    )
