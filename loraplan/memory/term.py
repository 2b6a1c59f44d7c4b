"""What an estimate is made of: terms in phases, three counters with their ranges, what is unknown."""

from typing import NamedTuple


class Term(NamedTuple):
    """A share of a phase's memory."""

    name: str
    bytes: int
    formula: str
    """In the symbols of the estimate; `Estimate.symbols` has their values."""
    source: str


class Phase(NamedTuple):
    """An instant of a training step and all that is alive then."""

    name: str
    """`load`, `forward`, `loss`, `backward`, `optimizer`, and `evaluation` where the run evaluates."""
    terms: tuple[Term, ...]
    bytes: int
    """All terms together."""


def phase(name: str, terms: tuple[Term, ...]) -> Phase:
    """A phase of the terms that are not empty."""
    kept = tuple([term for term in terms if term.bytes > 0])
    return Phase(name, kept, sum([term.bytes for term in kept]))


class Range(NamedTuple):
    """A counter in bytes: the most likely value between a low and a high one."""

    low: int
    expected: int
    high: int

    def holds(self, value: float) -> bool:
        """Whether a measured value lies inside."""
        return self.low <= value <= self.high


class Unknown(NamedTuple):
    """Something the estimate had to leave open, and by how much it widens the range (a fraction of the peak)."""

    what: str
    remedy: str
    low: float
    high: float


class Estimate(NamedTuple):
    """Peak memory of one GPU of a run. All figures are bytes."""

    phases: tuple[Phase, ...]
    allocated: Range
    """`torch.cuda.max_memory_allocated`."""
    needed: Range
    """The least that the process must be able to reserve: tensors, and the rests of segments that hold one."""
    reserved: Range
    """`torch.cuda.max_memory_reserved`: with what the caching allocator holds besides."""
    device: Range
    """What nvidia-smi shows: with the CUDA context and libraries."""
    host: int
    """Bytes of host memory that offloading needs for this GPU."""
    unknown: tuple[Unknown, ...]
    assumptions: tuple[str, ...]
    """Values that the config does not give and the estimate took, each in words."""
    symbols: tuple[tuple[str, float], ...]
    """The values of the symbols in the formulas."""
    stack: str
    gpus: int
    in_evidence: bool
    """Whether runs of this kind were measured; otherwise the ranges are wider and it is said so."""

    @property
    def peak(self) -> Phase:
        """The largest phase."""
        return max(self.phases, key=lambda item: item.bytes)
