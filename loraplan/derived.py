"""Quantities that follow from a Plan: scaling, coverage, effective batch, steps, warm-up, kind of training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from loraplan.plan import Plan

if TYPE_CHECKING:
    from loraplan.arch.match import Matched
    from loraplan.rule import Context

Family = Literal["sft", "preference", "rl", "pretraining", "classification", "reward", "unknown"]
Coverage = Literal["qk", "attention", "mlp", "all", "other", "unknown"]

_FAMILIES: dict[str, Family] = {
    "sft": "sft", "dft": "sft", "instruction": "sft", "distill": "sft",
    "pt": "pretraining", "cpt": "pretraining", "pretrain": "pretraining",
    "dpo": "preference", "orpo": "preference", "kto": "preference", "ipo": "preference", "simpo": "preference",
    "cpo": "preference", "bco": "preference", "xpo": "preference", "nca": "preference",
    "grpo": "rl", "ppo": "rl", "rloo": "rl", "online_dpo": "rl", "reinforce": "rl", "gspo": "rl", "dapo": "rl",
    "ebft": "rl", "gkd": "rl",
    "cls": "classification", "classification": "classification",
    "rm": "reward", "reward": "reward", "prm": "reward",
}  # fmt: skip

ATTENTION = frozenset(
    "q_proj k_proj v_proj o_proj qkv_proj out_proj query_key_value query key value dense c_attn Wqkv W_pack"
    " wq wk wv wo q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj output_proj qkv_projs to_q to_k to_v wqkv Wq Wk Wv"
    " linear_q linear_k linear_v linear_qkv linear_proj attn_proj self_attn attn".split()
)
MLP = frozenset(
    "gate_proj up_proj down_proj gate_up_proj w1 w2 w3 fc1 fc2 fc_in fc_out c_fc mlp dense_h_to_4h dense_4h_to_h"
    " linear_fc1 linear_fc2 lin1 lin2 wi wo_mlp wi_0 wi_1 ffn gate up down shared_expert".split()
)
_QUERY_KEY = frozenset("q_proj k_proj wq wk query key to_q to_k Wq Wk linear_q linear_k q k".split())


def family(plan: Plan) -> Family:
    """What kind of training the method is; `unknown` where the config does not say."""
    return _FAMILIES.get((plan.method or "").lower(), "unknown")


def finite(value: float | None) -> float | None:
    """A value as a finite float; None for anything that is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_lora(plan: Plan) -> bool:
    """Whether the adapter is LoRA (DoRA and QLoRA included), as far as is known."""
    return plan.adapter.method in (None, "lora")


def scaling(plan: Plan) -> float | None:
    """The factor on the LoRA update: alpha/r, or alpha/sqrt(r) with rsLoRA (peft 0.21.2 tuners/lora/layer.py)."""
    adapter = plan.adapter
    if adapter.scaling is not None:
        return finite(adapter.scaling)
    r, alpha = finite(adapter.r), finite(adapter.alpha)
    if r is None or alpha is None or r <= 0:
        return None
    return finite(alpha / (math.sqrt(r) if adapter.use_rslora else r))


def covered(plan: Plan, ctx: Context) -> Coverage:
    """Coverage from the modules that PEFT would match, where that can be known, else from the names.

    Where all MLP layers are experts fused into parameters, attention is all that targets can reach: `all`.
    """
    from loraplan.formats.targets import judgeable

    arch = ctx.arch_or_none if judgeable(plan, ctx.reading) else None
    if arch is None or plan.adapter.target_modules == "all-linear":
        return coverage(plan)
    reach = coverage(plan, ctx.matched)
    reachable = any(
        module.kind in ("Linear", "Conv1D") and module.part in ("mlp", "expert", "shared_expert")
        for module in arch.modules
    )
    return "all" if reach == "attention" and not reachable else reach


def constant_alpha(plan: Plan, reach: Coverage) -> bool:
    """Whether this is the published recipe of alpha 16 or 32 at every rank (QLoRA, Thinking Machines, TRL).

    It means a high rank over the MLP layers too, with a learning rate of LoRA's usual size.
    """
    r, alpha, rate = finite(plan.adapter.r), plan.adapter.alpha, finite(plan.optimizer.learning_rate)
    return alpha in (16, 32) and r is not None and r >= 64 and reach in ("mlp", "all") and (rate or 0) >= 1e-4


def low_rank_rl(plan: Plan) -> bool:
    """Reinforcement learning at rank 8 or below, where an alpha of 32 is TRL's and Thinking Machines' own setting."""
    r = finite(plan.adapter.r)
    return family(plan) == "rl" and r is not None and r <= 8


def coverage(plan: Plan, matched: Matched | None = None) -> Coverage:
    """Which parts of the network the adapter reaches: from resolved matches, else from the names of the targets."""
    if matched is not None and matched.modules:
        parts = {module.part for module in matched.modules}
        if parts & {"mlp", "expert", "shared_expert"}:
            return "all" if "attention" in parts else "mlp"
        if "attention" in parts:
            roles = {module.role for module in matched.modules if module.part == "attention"}
            return "qk" if roles == {"q", "k"} else "attention"
        return "other"
    targets = plan.adapter.target_modules
    if targets is None:
        return "unknown"
    if isinstance(targets, str):
        return "all" if targets.lower() == "all-linear" else "unknown"
    if plan.adapter.target_parameters:
        return "all"
    leaves = {name.rpartition(".")[2].strip("*") for name in targets}
    if not leaves or not leaves <= ATTENTION | MLP | {"lm_head", "embed_tokens"}:
        return "unknown"
    has_attention, has_mlp = bool(leaves & ATTENTION), bool(leaves & MLP)
    if "dense" in leaves and has_mlp is False and "query_key_value" not in leaves:
        return "unknown"  # phi's attention output, but other models' only linear layer
    if has_mlp:
        return "all" if has_attention else "mlp"
    if not has_attention:
        return "other"
    return "qk" if leaves <= _QUERY_KEY and len(leaves) > 1 else "attention"


def effective_batch(plan: Plan) -> int | None:
    """Examples per optimizer step over all devices; one device is assumed where none is stated.

    None where the accumulation is not known: each framework's reader fills in its default, so none means unreadable.
    """
    batch = plan.batch
    if batch.global_batch_size is not None:
        return batch.global_batch_size
    if batch.micro_batch_size is None or batch.gradient_accumulation_steps is None:
        return None
    return batch.micro_batch_size * max(batch.gradient_accumulation_steps, 1) * (plan.distributed.devices or 1)


def total_steps(plan: Plan, examples: int | None = None) -> int | None:
    """Optimizer steps: max_steps where positive, else from the number of examples (transformers Trainer); or None."""
    schedule = plan.schedule
    if schedule.max_steps is not None and schedule.max_steps > 0:
        return schedule.max_steps
    epochs = finite(schedule.epochs)
    if examples is None or examples <= 0 or plan.data.packing or epochs is None or epochs <= 0:
        return None
    batch = effective_batch(plan)
    if batch is None or batch <= 0:
        return None
    steps = finite(finite(-(-examples // batch) * epochs) if finite(examples) else None)
    return None if steps is None else max(1, math.ceil(steps))


def warmup_steps(plan: Plan, steps: int | None) -> float | None:
    """Resolved warm-up in optimizer steps: positive `warmup_steps` win, else the ratio of `steps`; None if unknown."""
    schedule = plan.schedule
    if schedule.warmup_steps is not None and schedule.warmup_steps > 0:
        return schedule.warmup_steps
    if schedule.warmup_ratio is not None and schedule.warmup_ratio > 0:
        ratio, total = finite(schedule.warmup_ratio), finite(steps)
        product = None if ratio is None or total is None else finite(ratio * total)
        return None if product is None else math.ceil(product)
    if schedule.warmup_steps is None and schedule.warmup_ratio is None:
        return None
    return 0


def number(value: float) -> str:
    """A number as people write it: `16`, `0.25`, `2e-5`."""
    if finite(value) is None:
        return str(value) if isinstance(value, float) else "a number beyond any float"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return f"{value:.10g}"
    mantissa, _, exponent = f"{value:.6e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def short(value: float) -> str:
    """A computed number to three significant digits: `0.0625`, `11.3`."""
    return number(float(f"{value:.3g}"))


def listed(names: Iterable[str], limit: int = 4) -> str:
    """Names in a sentence: `q_proj, k_proj and v_proj`, cut after `limit`."""
    items = list(dict.fromkeys(names))
    if len(items) > limit + 1:
        items = [*items[:limit], f"{len(items) - limit} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "nothing"
