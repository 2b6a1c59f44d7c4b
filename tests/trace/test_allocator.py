"""The replay of CUDA's caching allocator: what its source says of sizes, splits, merges and giving back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.trace.allocator import Allocator, OutOfMemoryError, needed, replay
from loraplan.trace.ledger import Event, Ledger, Storage

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (11 * MIB, 12 * MIB),
    ],
)
def test_segments(size, reserved):
    allocator = Allocator()
    allocator.allocate(0, size)
    assert allocator.reserved == reserved


def test_small_and_large_requests_have_pools_of_their_own():
    allocator = Allocator()
    allocator.allocate(0, 12 * MIB)
    allocator.release(0)
    allocator.allocate(1, 512)
    assert allocator.reserved == 14 * MIB


def test_a_block_is_handed_out_whole_where_little_is_left():
    allocator = Allocator()
    allocator.allocate(0, 12 * MIB)
    allocator.release(0)
    allocator.allocate(1, 11 * MIB)
    assert allocator.allocated == 12 * MIB  # 1 MiB more than asked is no rest
    allocator.release(1)
    allocator.allocate(2, 11 * MIB - 512)
    assert allocator.allocated == 11 * MIB - 512


def test_the_smallest_block_that_fits_is_taken():
    allocator = Allocator()
    for number, size in enumerate((40, 20, 30)):
        allocator.allocate(number, size * MIB)
    for number in range(3):
        allocator.release(number)
    allocator.allocate(3, 18 * MIB)
    allocator.allocate(4, 30 * MIB)
    allocator.allocate(5, 40 * MIB)
    assert allocator.reserved == 90 * MIB


def test_neighbours_are_merged():
    allocator = Allocator()
    allocator.allocate(0, 60 * MIB)
    allocator.release(0)
    for number in (1, 2, 3):
        allocator.allocate(number, 20 * MIB)
    for number in (1, 3, 2):
        allocator.release(number)
    allocator.allocate(4, 60 * MIB)
    assert allocator.reserved == 60 * MIB


def test_only_whole_segments_are_given_back():
    allocator = Allocator(limit=100 * MIB)
    allocator.allocate(0, 60 * MIB)
    allocator.release(0)
    allocator.allocate(1, 50 * MIB)
    allocator.release(1)
    allocator.allocate(2, 70 * MIB)  # the segment of 60 goes back
    allocator.release(2)
    allocator.allocate(3, 10 * MIB)  # cut out of the segment of 70, which must stay
    with pytest.raises(OutOfMemoryError):
        allocator.allocate(4, 80 * MIB)
    assert allocator.reserved == 70 * MIB


def ledger(events):
    """`(number, size)` is born, a bare number dies."""
    made = Ledger()
    for event in events:
        born = isinstance(event, tuple)
        if born:
            made.storages.append(Storage(event[1], "", "", "", (), ""))
        made.events.append(Event(event[0] if born else event, born=born, phase=""))
    return made


def test_what_is_needed_lies_between_alive_and_reserved():
    # the large block is cut for a small one that stays, as states of an optimizer are made after the first backward
    found = ledger([(0, 600 * MIB), 0, (1, 100 * MIB), (2, 600 * MIB), 2, (3, 500 * MIB)])
    allocator = replay(found)
    assert (allocator.most_allocated, allocator.most_reserved) == (700 * MIB, 1200 * MIB)
    assert needed(found) == 1200 * MIB
    assert needed(ledger([(0, 600 * MIB), 0, (1, 700 * MIB)]), precision=MIB) <= 701 * MIB


SIZES = st.one_of(st.integers(1, 2 * MIB), st.integers(1, 80 * MIB), st.just(20 * MIB))


@settings(max_examples=200)
@given(st.lists(st.tuples(SIZES, st.booleans(), st.integers(0, 50)), max_size=60))
def test_books_balance(requests):
    allocator = Allocator()
    alive: dict[int, int] = {}
    for number, (size, frees, which) in enumerate(requests):
        allocator.allocate(number, size)
        alive[number] = size
        if frees:
            gone = sorted(alive)[which % len(alive)]
            allocator.release(gone)
            del alive[gone]
        assert sum(alive.values()) <= allocator.allocated <= allocator.reserved
    for number in alive:
        allocator.release(number)
    assert allocator.allocated == 0
    allocator.give_back()
    assert allocator.reserved == 0  # every split was merged again
