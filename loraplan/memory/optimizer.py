"""Bytes of optimizer state for each trained parameter, and what a step allocates besides."""

from __future__ import annotations

from typing import NamedTuple


class Optimizer(NamedTuple):
    """State of one optimizer. A `copy` is a tensor of the parameter's own type and shape."""

    copies: float
    """State tensors of the parameter's type."""
    fixed: float
    """State bytes for each parameter whatever its type."""
    step: float
    """Copies that exist only during the step (foreach temporaries)."""
    paged: bool
    """The state lives in unified memory, which PyTorch's counters do not see."""
    source: str
    in_backward: bool = False
    """Each parameter is updated as soon as its gradient is there, and the gradient freed."""


_TORCH = "torch 2.13 torch/optim"
_BNB = "bitsandbytes 0.50 optim/optimizer.py: uint8 state, one fp32 per block of 256"
_TABLE: dict[str, Optimizer] = {
    "adamw": Optimizer(
        2, 0, 1, False, f"{_TORCH}/adamw.py `_multi_tensor_adamw`: two moments; the root of one in a step"
    ),
    "adamw_fused": Optimizer(2, 0, 0, False, f"{_TORCH}/adamw.py `_fused_adamw`: two moments, nothing else"),
    "adamw_8bit": Optimizer(0, 2 + 8 / 256, 0, False, _BNB),
    "adamw_4bit": Optimizer(
        0, 1 + 8 / 256, 0, False, "torchao 0.18 optim/adam.py AdamW4bit; transformers 5.23 takes blocks of 256"
    ),
    "adamw_32bit": Optimizer(0, 8, 0, False, "bitsandbytes 0.50 optim/adamw.py: two fp32 moments"),
    "adafactor": Optimizer(0, 0.02, 2, False, "transformers 5.23 optimization.py Adafactor: row and column means"),
    "lion": Optimizer(1, 0, 1, False, "lion-pytorch: one moment"),
    "lion_8bit": Optimizer(0, 1 + 4 / 256, 0, False, _BNB),
    "sgd": Optimizer(0, 0, 0, False, f"{_TORCH}/sgd.py without momentum"),
    "sgd_momentum": Optimizer(1, 0, 0, False, f"{_TORCH}/sgd.py: momentum buffer"),
    "adagrad": Optimizer(1, 0, 1, False, f"{_TORCH}/adagrad.py: one sum of squares"),
    "rmsprop": Optimizer(1, 0, 1, False, f"{_TORCH}/rmsprop.py: one mean square"),
    "muon": Optimizer(1, 0, 2, False, f"{_TORCH}/_muon.py: momentum; two bf16 matrices while it orthogonalizes"),
    "ademamix": Optimizer(3, 0, 1, False, "bitsandbytes 0.50 optim/ademamix.py: three moments"),
    "ademamix_8bit": Optimizer(0, 3 + 12 / 256, 0, False, _BNB),
    "lomo": Optimizer(0, 0, 0, False, "lomo-optim: updates within the backward, no state", in_backward=True),
}
_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ademamix", "8bit"), "ademamix_8bit"),
    (("ademamix",), "ademamix"),
    (("adamw", "4bit"), "adamw_4bit"),
    (("adam", "8bit"), "adamw_8bit"),
    (("lion", "8bit"), "lion_8bit"),
    (("lion",), "lion"),
    (("adafactor",), "adafactor"),
    (("adagrad",), "adagrad"),
    (("rmsprop",), "rmsprop"),
    (("muon",), "muon"),
    (("lomo",), "lomo"),
    (("sgd",), "sgd"),
    (("paged", "32bit"), "adamw_32bit"),
    (("adam",), "adamw"),
)


def find(name: str | None, *, fused: bool) -> tuple[Optimizer, bool]:
    """The optimizer that a config's name means, and whether the name is known; AdamW where it is not.

    `fused`: the stack runs torch's AdamW fused where the name leaves it open.
    """
    text = (name or "adamw").lower().replace("-", "_").replace(".", "_")
    text = text.replace("8_bit", "8bit").replace("adamw8bit", "adamw_8bit").replace("bnb_8", "8bit")
    for words, key in _WORDS:
        if all(word in text for word in words):
            found = _TABLE[_adamw(text, fused=fused) if key == "adamw" else key]
            if "backward" in text or "in_bwd" in text:
                found = found._replace(step=0, in_backward=True)
            return (found._replace(paged=True) if "paged" in text else found), True
    return _TABLE["adamw"], name is None


def _adamw(text: str, *, fused: bool) -> str:
    """Which AdamW a name that says no more means."""
    if "paged" in text:
        return "adamw_32bit"
    plain = "foreach" not in text and "anyprecision" not in text
    return "adamw_fused" if "fused" in text or (fused and plain) else "adamw"
