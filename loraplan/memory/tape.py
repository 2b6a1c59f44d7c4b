"""Liveness of one step's tensors: what autograd keeps from forward to backward, and what it allocates on the way back.

A block of a model is written down once as the operations that really run; the bytes alive at every instant follow.
Rules: a tensor dies after its last use unless an operation saved it; an operation's backward allocates the gradients of
its inputs, then releases its saved tensors and the gradient of its output; a second gradient of one tensor is added in
place after a moment in which both exist (torch 2.13 `torch/csrc/autograd/engine.cpp`, `input_buffer.cpp`).
"""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Bytes as `token * tokens + pair * tokens * positions + fixed`, positions being the length of one sequence."""

    token: float = 0
    pair: float = 0
    fixed: float = 0

    def at(self, tokens: int, positions: int) -> float:
        """Bytes of a batch of `tokens` in sequences of `positions`."""
        return tokens * (self.token + positions * self.pair) + self.fixed

    def plus(self, other: Size) -> Size:
        """The sum."""
        return Size(self.token + other.token, self.pair + other.pair, self.fixed + other.fixed)

    def times(self, factor: float) -> Size:
        """A multiple."""
        return Size(self.token * factor, self.pair * factor, self.fixed * factor)


NOTHING = Size()


class Operation(NamedTuple):
    """One operation: tensors by number; `views` are inputs whose gradient is the output's own (additions, reshapes)."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    saves: tuple[int, ...]
    views: tuple[int, ...]
    forward: Size
    """Workspace that lives only within the forward operation."""
    backward: Size
    """Workspace that lives only within its backward."""
    reuses: bool
    """The gradient is written over the saved tensors (fused kernels)."""
    graph: Size
    """Forward workspace that only a recorded graph holds."""


class Profile(NamedTuple):
    """What a block costs, ready to be evaluated for any batch."""

    saved: Size
    """Alive after the forward for the backward; the block's input is counted where an operation saved it."""
    forward: tuple[Size, ...]
    """Bytes at the instants of the forward that can be its largest, beyond its input, where everything is saved."""
    transient: tuple[Size, ...]
    """The same where nothing is saved (no gradient is recorded)."""
    backward: tuple[Size, ...]
    """The same of the backward: saved tensors, gradients, workspace."""
    names: tuple[str, ...]
    """The operation of each instant of `backward`."""
    apart: tuple[Size, Size] = (NOTHING, NOTHING)
    """The instants (forward, backward) of an operation that was asked for by name; the others are without it."""

    def peak(self, instants: tuple[Size, ...], tokens: int, positions: int) -> float:
        """The largest of some instants."""
        return max([instant.at(tokens, positions) for instant in instants], default=0)

    def worst(self, tokens: int, positions: int) -> str:
        """The operation whose backward peaks."""
        sizes = [instant.at(tokens, positions) for instant in self.backward]
        return self.names[sizes.index(max(sizes))] if sizes else ""


class Tape:
    """Records a block's operations. Tensor 0 is the block's input."""

    def __init__(self, entry: Size) -> None:
        self.sizes: list[Size] = [entry]
        self.needs_gradient: list[bool] = [True]
        self.operations: list[Operation] = []
        self.held: list[int] = []
        self.until: dict[int, tuple[int, ...]] = {}

    def op(
        self,
        name: str,
        inputs: tuple[int, ...],
        size: Size,
        *,
        saves: tuple[int, ...] = (),
        views: tuple[int, ...] = (),
        forward: Size = NOTHING,
        backward: Size = NOTHING,
        gradient: bool | None = None,
        reuses: bool = False,
        graph: Size = NOTHING,
    ) -> int:
        """Run an operation and return its output; `saves` may name the output itself as -1."""
        return self.many(
            name, inputs, (size,), saves, views, forward, backward, gradient=gradient, reuses=reuses, graph=graph
        )[0]

    def many(
        self,
        name: str,
        inputs: tuple[int, ...],
        sizes: tuple[Size, ...],
        saves: tuple[int, ...] = (),
        views: tuple[int, ...] = (),
        forward: Size = NOTHING,
        backward: Size = NOTHING,
        *,
        gradient: bool | None = None,
        reuses: bool = False,
        graph: Size = NOTHING,
    ) -> tuple[int, ...]:
        """Run an operation with several outputs; -1, -2, ... in `saves` are its first, second, ... output."""
        first = len(self.sizes)
        outputs = tuple(range(first, first + len(sizes)))
        needs = any(self.needs_gradient[item] for item in inputs) if gradient is None else gradient
        self.sizes.extend(sizes)
        self.needs_gradient.extend([needs] * len(sizes))
        kept = tuple(outputs[-item - 1] if item < 0 else item for item in saves) if needs else ()
        self.operations.append(Operation(name, inputs, outputs, kept, views, forward, backward, reuses, graph))
        return outputs

    def aside(self, size: Size) -> int:
        """A tensor that only its saving operation knows: a dropout mask, row statistics."""
        self.sizes.append(size)
        self.needs_gradient.append(False)
        return len(self.sizes) - 1

    def hold(self, tensor: int) -> None:
        """Keep a tensor alive to the end of the forward: a local variable of the caller names it."""
        self.held.append(tensor)

    def hold_here(self, *tensors: int) -> None:
        """Keep tensors alive to the end of the last operation's forward: a caller names them until then."""
        self.until[len(self.operations) - 1] = tensors

    def profile(self, *, output_kept: bool = False, owns_input: bool = False, apart: str = "") -> Profile:
        """Evaluate liveness. `output_kept`: recomputation holds the block's output through its backward.

        `owns_input`: the input counts for as long as it is needed; otherwise it is its owner's (a checkpoint).
        `apart`: the name of an operation whose workspace is no multiple of the tokens.
        """
        last: dict[int, int] = {}
        saved: dict[int, int] = {}
        for number, operation in enumerate(self.operations):
            for item in (*operation.inputs, *operation.outputs):
                last[item] = number
            for item in self.until.get(number, ()):
                last[item] = number
            for item in operation.saves:
                saved[item] = saved.get(item, 0) + 1
        final = self.operations[-1].outputs[0] if self.operations else 0
        for item in (*self.held, final):
            last[item] = len(self.operations)
        forward = self._forward(last, frozenset(saved), owns_input=owns_input)
        transient = self._forward(last, frozenset(), owns_input=owns_input)
        kept = NOTHING
        for item in saved:
            kept = kept.plus(self.sizes[item])
        backward, names = self._backward(saved, final, output_kept=output_kept, owns_input=owns_input)
        if output_kept:  # the block is run again while the gradient of its output waits
            backward += tuple(instant.plus(self.sizes[final]) for instant in forward)
            names += tuple(f"{operation.name}, recomputed" for operation in self.operations)
        alone = (NOTHING, NOTHING)
        if apart:
            ahead = [operation.name for operation in self.operations].index(apart)
            back = names.index(apart)
            alone = forward[ahead], backward[back]
            forward, transient = (item[:ahead] + item[ahead + 1 :] for item in (forward, transient))
            backward, names = backward[:back] + backward[back + 1 :], names[:back] + names[back + 1 :]
        return Profile(kept, _largest(forward)[0], _largest(transient)[0], *_largest(backward, names), alone)

    def _forward(self, last: dict[int, int], saved: frozenset[int], *, owns_input: bool) -> tuple[Size, ...]:
        alive, instants = self.sizes[0] if owns_input else NOTHING, []
        for number, operation in enumerate(self.operations):
            extras = [item for item in operation.saves if item in saved and item not in last]
            for item in (*operation.outputs, *extras):
                alive = alive.plus(self.sizes[item])
            inside = operation.forward.plus(operation.graph) if saved else operation.forward
            instants.append(alive.plus(inside))
            for item in {*operation.inputs, *operation.outputs, *self.until.get(number, ())}:
                if last[item] == number and item not in saved and (item or owns_input):
                    alive = alive.plus(self.sizes[item].times(-1))
        return tuple(instants)

    def _backward(
        self, saved: dict[int, int], final: int, *, output_kept: bool, owns_input: bool
    ) -> tuple[tuple[Size, ...], tuple[str, ...]]:
        alive = self.sizes[final] if output_kept and final not in saved else NOTHING
        for item in saved:
            if item or owns_input:
                alive = alive.plus(self.sizes[item])
        left = dict(saved)
        buffers: dict[int, int] = {final: 0}  # tensor -> its gradient's buffer
        users = [1]
        sizes = [self.sizes[final]]
        alive = alive.plus(sizes[0])
        instants, names = [alive], ["entry"]
        for operation in reversed(self.operations):
            own = [buffers.pop(item) for item in operation.outputs if item in buffers]
            freed = NOTHING
            for item in operation.saves:
                left[item] -= 1
                if not left[item] and (item or owns_input):
                    freed = freed.plus(self.sizes[item].times(-1))
            if operation.reuses:
                alive, freed = alive.plus(freed), NOTHING
            if own:
                joined = NOTHING
                for item in dict.fromkeys(operation.inputs):
                    if not self.needs_gradient[item]:
                        continue
                    if item in buffers:
                        if item not in operation.views:
                            joined = joined.plus(self.sizes[item])
                    elif item in operation.views:
                        buffers[item] = own[0]
                        users[own[0]] += 1
                    else:
                        buffers[item] = len(users)
                        users.append(1)
                        sizes.append(self.sizes[item])
                        alive = alive.plus(self.sizes[item])
                instants.append(alive.plus(joined).plus(operation.backward))
                names.append(operation.name)
                for buffer in own:
                    users[buffer] -= 1
                    if not users[buffer]:
                        alive = alive.plus(sizes[buffer].times(-1))
            alive = alive.plus(freed)
        return tuple(instants), tuple(names)


def _largest(instants: tuple[Size, ...], names: tuple[str, ...] = ()) -> tuple[tuple[Size, ...], tuple[str, ...]]:
    """The instants that no other one exceeds in every coefficient, with their names."""
    kept: list[int] = []
    for number, one in enumerate(instants):
        if any(_covers(instants[other], one) for other in kept):
            continue
        kept = [other for other in kept if not _covers(one, instants[other])]
        kept.append(number)
    return tuple(instants[number] for number in kept), tuple(names[number] for number in kept) if names else ()


def _covers(larger: Size, smaller: Size) -> bool:
    return larger.token >= smaller.token and larger.pair >= smaller.pair and larger.fixed >= smaller.fixed
