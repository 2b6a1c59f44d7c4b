"""What the CUDA caching allocator reserves for a traced program: its own rules, replayed on the program's storages.

The rules are those of torch 2.13 `c10/cuda/CUDACachingAllocator.cpp` with default settings. Requests are rounded up to
512 bytes and served by the smallest free block that is large enough; a block is split where enough is left over; a
freed block is merged with its free neighbours. Memory comes from the driver in segments, and goes back only when a
request cannot be met otherwise, and only as whole segments: a segment that holds one live block stays.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from loraplan.trace.ledger import BLOCK, Ledger

SMALL = 1 << 20
"""`kSmallSize`: requests up to here share segments of 2 MiB; a larger block is split if more than this is left."""
SMALL_SEGMENT, LARGE_SEGMENT, OWN_SEGMENT, ROUND = 2 << 20, 20 << 20, 10 << 20, 2 << 20
"""`kSmallBuffer`, `kLargeBuffer`, `kMinLargeAlloc`, `kRoundLarge`."""


class OutOfMemoryError(Exception):
    """A request that does not fit even after every whole free segment was given back."""


@dataclass(eq=False, slots=True)
class Block:
    """A part of a segment; `before` and `behind` are its neighbours there."""

    address: int
    size: int
    small: bool
    free: bool = True
    before: Block | None = None
    behind: Block | None = None

    def key(self) -> tuple[int, int]:
        """Best fit: by size, the lowest address among equals."""
        return self.size, self.address


@dataclass(slots=True)
class Allocator:
    """One stream's pools. `limit`: bytes that the card has for them, None for endless."""

    limit: int | None = None
    reserved: int = 0
    allocated: int = 0
    most_reserved: int = 0
    most_allocated: int = 0
    _live: dict[int, Block] = field(default_factory=dict)
    _free: dict[bool, list[Block]] = field(default_factory=lambda: {True: [], False: []})
    _end: int = 0

    def allocate(self, name: int, size: int) -> None:
        """Hand out a block under a name."""
        size = max(-(-size // BLOCK) * BLOCK, BLOCK)
        small = size <= SMALL
        pool = self._free[small]
        place = bisect_left(pool, (size, 0), key=Block.key)
        block = pool.pop(place) if place < len(pool) else self._segment(size, small=small)
        left = block.size - size
        if left >= BLOCK if small else left > SMALL:
            rest = Block(block.address + size, left, small, before=block, behind=block.behind)
            if block.behind is not None:
                block.behind.before = rest
            block.behind, block.size = rest, size
            insort(pool, rest, key=Block.key)
        block.free = False
        self._live[name] = block
        self.allocated += block.size
        self.most_allocated = max(self.most_allocated, self.allocated)

    def release(self, name: int) -> None:
        """Take a block back, and merge it with its neighbours."""
        block = self._live.pop(name)
        self.allocated -= block.size
        block.free = True
        if block.behind is not None and block.behind.free:
            self._join(block, block.behind, gone=block.behind)
        if block.before is not None and block.before.free:
            block = self._join(block.before, block, gone=block.before)
        insort(self._free[block.small], block, key=Block.key)

    def give_back(self) -> None:
        """Return every whole free segment to the driver (`release_cached_blocks`, `torch.cuda.empty_cache`)."""
        for pool in self._free.values():
            kept = [block for block in pool if block.before is not None or block.behind is not None]
            self.reserved -= sum(block.size for block in pool) - sum(block.size for block in kept)
            pool[:] = kept

    def _join(self, first: Block, second: Block, *, gone: Block) -> Block:
        """Both as one; `gone` is the one that was in the pool."""
        pool = self._free[gone.small]
        del pool[bisect_left(pool, gone.key(), key=Block.key)]
        first.size += second.size
        first.behind = second.behind
        if second.behind is not None:
            second.behind.before = first
        return first

    def _segment(self, size: int, *, small: bool) -> Block:
        if small:
            size = SMALL_SEGMENT
        elif size < OWN_SEGMENT:
            size = LARGE_SEGMENT
        else:
            size = -(-size // ROUND) * ROUND
        if self.limit is not None and self.reserved + size > self.limit:
            self.give_back()
            if self.reserved + size > self.limit:
                raise OutOfMemoryError
        self.reserved += size
        self.most_reserved = max(self.most_reserved, self.reserved)
        self._end += size
        return Block(self._end - size, size, small)


def replay(ledger: Ledger, limit: int | None = None) -> Allocator:
    """The allocator after a traced program, on a card with so many bytes for it.

    Raises `OutOfMemoryError` where the program does not fit.
    """
    allocator = Allocator(limit)
    for event in ledger.events:
        if event.born:
            allocator.allocate(event.number, ledger.storages[event.number].size)
        else:
            allocator.release(event.number)
    return allocator


def needed(ledger: Ledger, precision: int = 64 << 20) -> int:
    """The fewest bytes that the program runs in, to within `precision`: between its live and its reserved peak."""
    free = replay(ledger)
    low, high = free.most_allocated, free.most_reserved
    while high - low > precision:
        middle = (low + high) // 2
        try:
            replay(ledger, middle)
        except OutOfMemoryError:
            low = middle
        else:
            high = middle
    return high
