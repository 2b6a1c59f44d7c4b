"""Which depths stand for a deep model."""

from __future__ import annotations

import pytest

from loraplan.trace.extrapolate import depths_of

SIX = ("window",) * 5 + ("all",)


@pytest.mark.parametrize(
    ("kinds", "depths"),
    [
        (("same",) * 32, (2, 3, 1)),
        (("same",) * 2, (2, 2, 1)),
        (("same",), (1, 1, 1)),
        (("window", "all") * 21, (2, 4, 2)),
        (("window", "all") * 21 + ("window",), (3, 5, 2)),
        ((SIX * 6)[:34], (4, 10, 6)),
        (("dense",) + ("experts",) * 26, (2, 3, 1)),
        (("dense",) * 3 + ("experts",) * 58, (4, 5, 1)),
    ],
)
def test_two_depths_end_where_the_model_ends(kinds: tuple[str, ...], depths: tuple[int, int, int]) -> None:
    low, high, period = depths_of(kinds)
    assert (low, high, period) == depths
    assert kinds[low - 1] == kinds[high - 1] == kinds[-1]
    assert (len(kinds) - low) % period == 0


def test_layers_without_order_are_traced_whole() -> None:
    kinds = ("a", "b", "c", "a", "c", "b", "d")
    assert depths_of(kinds)[0] == len(kinds)
