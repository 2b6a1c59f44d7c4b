"""How mlx-lm finds the layers that its `keys` name: as whole paths within a block (0.32.2 tuner/utils.py)."""

from __future__ import annotations

from loraplan.rule import Context

_PLACES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"), "self_attn"),
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj", "gate_up_proj"), "mlp"),
}
# These do stand in a block or a model under their bare name.
_BARE = frozenset(("lm_head", "self_attn", "attn", "attention", "mlp", "feed_forward", "block_sparse_moe", "mixer"))


def without_path(ctx: Context, targets: tuple[str, ...] | str | None) -> tuple[str, ...]:
    """Names that mlx-lm compares with `self_attn.q_proj` and the like, and that therefore name nothing."""
    if ctx.reading.format != "mlx-lm" or not isinstance(targets, tuple) or not ctx.explicit("adapter.target_modules"):
        return ()
    return tuple(
        name for name in targets if "." not in name and name not in _BARE and "norm" not in name and name[:2] != "ln"
    )


def with_path(name: str) -> str | None:
    """Where a layer of that name stands in the models that mlx-lm has from the Llama family."""
    place = _PLACES.get(name)
    return None if place is None else f"{place}.{name}"
