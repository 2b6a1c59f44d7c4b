"""Every storage that a traced program allocates and frees, in order; knows nothing of models.

Nothing is computed: tensors on the meta device have storages of the right size and no memory. One storage is counted
once, however many tensors view it, rounded up to the 512 bytes that the CUDA caching allocator hands out
(`kMinBlockSize`, torch 2.13 `c10/core/AllocatorConfig.h`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

BLOCK = 512


class Storage(NamedTuple):
    """What was known of a storage when an operation first returned a tensor on it."""

    size: int
    """Bytes, rounded up to whole blocks."""
    operation: str
    module: str
    phase: str
    shape: tuple[int, ...]
    dtype: str


class Event(NamedTuple):
    """A storage came to life or died."""

    number: int
    born: bool
    phase: str


class Instant(NamedTuple):
    """The largest moment of some phases."""

    size: int
    operation: str
    """The operation that allocated last."""
    module: str
    alive: frozenset[int]


class Ledger:
    """Storages by number, in order of birth, and the events of their lives."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.events: list[Event] = []
        self.labels: dict[int, str] = {}
        self.phase = "load"
        self.module = ""
        self._numbers: dict[int, int] = {}  # address of a live storage -> its number
        self._watched: dict[int, weakref.ref[Any]] = {}

    def note(self, tensor: Any, operation: str = "") -> int | None:
        """Number of a tensor's storage, which is new if it was not seen; None for tensors in host memory."""
        if tensor.device.type != "meta":
            return None
        storage = tensor.untyped_storage()
        address: int = storage._cdata  # noqa: SLF001 -- torch offers no other identity of a storage
        number = self._numbers.get(address)
        if number is None:
            number = len(self.storages)
            size = -(-storage.nbytes() // BLOCK) * BLOCK
            dtype = str(tensor.dtype).removeprefix("torch.")
            self.storages.append(Storage(size, operation, self.module, self.phase, tuple(tensor.shape), dtype))
            self.events.append(Event(number, born=True, phase=self.phase))
            self._numbers[address] = number
            self._watched[number] = weakref.ref(storage, partial(self._died, number, address))
        return number

    def label(self, tensors: Iterable[Any], kind: str) -> None:
        """Say what some storages are for; the first label of a storage stays."""
        for tensor in tensors:
            number = self.note(tensor)
            if number is not None:
                self.labels.setdefault(number, kind)

    def _died(self, number: int, address: int, _: object) -> None:
        del self._watched[number]
        if self._numbers.get(address) == number:
            del self._numbers[address]
        self.events.append(Event(number, born=False, phase=self.phase))

    def peak(self, start: int, phases: Collection[str]) -> Instant:
        """The moment with most bytes alive among the events from `start` on in some phases; the first of equals."""
        size = best = 0
        at = -1
        for index, event in enumerate(self.events):
            amount = self.storages[event.number].size
            size += amount if event.born else -amount
            if index >= start and size > best and event.phase in phases:
                best, at = size, index
        return self.moment(at + 1)

    def moment(self, events: int) -> Instant:
        """What is alive after so many events."""
        alive = self.alive(events)
        last = self.storages[self.events[events - 1].number] if events else Storage(0, "", "", "", (), "")
        return Instant(self.size(alive), last.operation, last.module, alive)

    def alive(self, events: int | None = None) -> frozenset[int]:
        """Numbers of the storages alive after so many events; now, if not said."""
        alive: set[int] = set()
        for event in self.events[:events]:
            (alive.add if event.born else alive.discard)(event.number)
        return frozenset(alive)

    def size(self, numbers: Iterable[int]) -> int:
        """Bytes of some storages."""
        return sum(self.storages[number].size for number in numbers)

    def close(self) -> None:
        """Stop watching: storages that die from now on are no events."""
        self._watched.clear()


@contextmanager
def watched(ledger: Ledger, kernels: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Record every storage that any operation returns in this block; `kernels` run in place of some operations."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    running: list[Any] = []

    class Watch(TorchDispatchMode):
        """Sees operations below autograd, so those of the backward too."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kernel = kernels.get(func) if func not in running else None
            if kernel is not None:
                running.append(func)
                try:
                    with self:
                        return kernel(*args, **(kwargs or {}))
                finally:
                    running.pop()
            result = func(*args, **(kwargs or {}))
            for item in (result,) if isinstance(result, Tensor) else tree_leaves(result):
                if isinstance(item, Tensor):
                    ledger.note(item, str(func))
            return result

    with Watch():
        yield
