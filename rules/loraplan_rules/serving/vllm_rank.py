"""vLLM has to be told of this rank.

## What it does
With the option `serve` set to `vllm`, mentions a rank above 16, vLLM's default `max_lora_rank`, with the value to give;
a rank above 512 is a warning.

## Why is this bad?
vLLM refuses an adapter whose rank is above `--max-lora-rank`. It takes 1, 8, 16, 32, 64, 128, 256, 320 and 512, and
reserves memory by it.

## Example
```json adapter_config.json preview SRV002.serve=vllm
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 1024,
  "lora_alpha": 1024,
  "target_modules": ["q_proj", "v_proj", "up_proj"]
}
```

## Use instead
```json adapter_config.json preview SRV002.serve=vllm
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"]
}
```

## Options
- `serve` (empty): `vllm` where the adapter is to be served by vLLM; anything else leaves the rule silent.

## Evidence
- vLLM `config/lora.py`: the values and the default (read in a stored copy).
- A report: LLaMA-Factory issue 9512.

## What it does not flag
- Runs whose settings do not say that vLLM serves them: the rule is silent without its option.

## Fix safety
No fix: the value belongs into vLLM's command.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@rule(
    code="SRV002",
    name="vllm-rank",
    severity="info",
    why="vLLM refuses an adapter above its max_lora_rank, 16 unless it is told otherwise",
    reads=(
        "adapter.r",
        "adapter.rank_pattern",
    ),
    preview=True,
    options={"serve": ""},
    evidence=(
        Evidence(
            "MaxLoRARanks",
            "https://github.com/vllm-project/vllm/blob/main/vllm/config/lora.py",
            "commit 01230b4",
        ),
        Evidence(
            "a report",
            "https://github.com/hiyouga/LLaMA-Factory/issues/9512",
            "issue thread",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if ctx.options.serve.lower() != "vllm" or not is_lora(plan):
        return
    ranks = [finite(rank) for rank in (plan.adapter.r, *(plan.adapter.rank_pattern or {}).values())]
    r = max((rank for rank in ranks if rank is not None), default=0)
    if r <= 16:
        return
    fits = next((rank for rank in _RANKS if rank >= r), None)
    yield Finding(
        f"rank {number(r)} is above vLLM's "
        + ("default max_lora_rank of 16" if fits else f"largest max_lora_rank, {_RANKS[-1]}"),
        at="adapter.r",
        severity=None if fits else "warning",
        remedy=f"serve with --max-lora-rank {fits}" if fits else "lower the rank, or merge the adapter before serving",
    )
