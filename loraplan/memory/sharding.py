"""How a run is spread over GPUs: what each of them keeps, gathers and buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from loraplan.memory.setup import Setup

_FSDP = "torch 2.13 distributed/fsdp"
_DDP = "torch 2.13 csrc/distributed/c10d/reducer.cpp: buckets as large as the gradients"
_DEEPSPEED = "deepspeed 0.17 runtime/zero/config.py"
_BUCKET = 500_000_000
"""Elements of ZeRO's reduce and allgather buckets (deepspeed 0.17 runtime/zero/config.py)."""


class Shards(NamedTuple):
    """Divisors and additions of one GPU. Bytes where not said otherwise."""

    gpus: int
    parameters: int
    """Ways in which the base weights are split."""
    adapters: int
    gradient_shards: int
    states: int
    root: int
    """Embeddings, head and final norm, which stay gathered."""
    layer: int
    """One gathered block."""
    master: int
    """fp32 copies of what is trained."""
    buffers: int
    buffer_formula: str
    host: int
    keeps_inputs: bool
    """Frozen sharded blocks hold their inputs and these inputs' gradients until the backward ends."""
    trained_bytes: int
    """Bytes an element of what is trained, as the optimizer sees it."""
    weight_copy: int
    """1; 2 where full training under mixed precision keeps the shards in fp32."""
    state_on_host: bool
    """Offload: optimizer state and gradients are on the host."""
    weights_on_host: bool
    """Offload of sharded parameters: the GPU has only what is gathered."""
    source: str

    def gradients(self, run: Setup) -> int:
        """Bytes of all gradients on this GPU."""
        if run.optimizer.in_backward:
            ends = run.arch.vocab_size * run.arch.hidden_size if run.shape.head_trained else 0
            block = max((item.parameters for item in run.layers), default=0) if run.full else 0
            return max(ends, block) * self.trained_bytes // self.gradient_shards
        return 0 if self.weights_on_host else _trained(run, self.trained_bytes) // self.gradient_shards

    def state(self, run: Setup) -> int:
        """Bytes of optimizer state that PyTorch's counters see."""
        if run.optimizer.paged or self.state_on_host:
            return 0
        optimizer = run.optimizer
        return int(_trained(run, self.trained_bytes) * optimizer.copies + run.trained * optimizer.fixed) // self.states

    def step(self, run: Setup) -> int:
        """Bytes of the step's temporaries."""
        return 0 if self.state_on_host else int(_trained(run, self.trained_bytes) * run.optimizer.step) // self.states


def _trained(run: Setup, adapter_bytes: int) -> int:
    """Bytes of one copy of everything that is trained."""
    if run.full:
        return run.arch.parameters * adapter_bytes
    own = (run.shape.adapter - run.shape.frozen_adapter) * adapter_bytes
    return own + run.shape.saved * run.weight_bytes


def _reentrant(run: Setup) -> bool:
    said = run.plan.precision.use_reentrant
    return run.stack.reentrant if said is None else said


def shards(run: Setup) -> Shards:
    """The split that the plan's strategy makes."""
    distributed = run.plan.distributed
    gpus = max(distributed.devices or 1, 1)
    strategy = (distributed.strategy or ("ddp" if gpus > 1 else "single")).lower()
    own = run.weight_bytes if run.full else run.adapter_bytes
    base = run.weights
    largest = max((item.stored for item in run.layers), default=0)
    root = base.ends + run.arch.hidden_size * run.weight_bytes
    if gpus == 1 and not distributed.offload:
        strategy = "single"
    plain = Shards(gpus, 1, 1, 1, 1, 0, 0, 0, 0, "", 0, False, own, 1, False, False, "")
    if strategy.startswith("fsdp"):
        upcast = run.stack.fsdp_upcasts and run.numerics.autocast and run.full
        host = (base.total + _trained(run, own)) // gpus if distributed.offload else 0
        return plain._replace(
            parameters=gpus, adapters=gpus, gradient_shards=gpus, states=gpus, root=root, layer=largest,
            keeps_inputs=not run.full and strategy == "fsdp" and _reentrant(run),
            trained_bytes=4 if upcast else own, weight_copy=2 if upcast else 1, host=host,
            state_on_host=bool(distributed.offload), weights_on_host=bool(distributed.offload), source=_FSDP,
        )  # fmt: skip
    if strategy.startswith(("zero", "deepspeed")):
        stage = int(strategy[-1]) if strategy[-1].isdigit() else 2
        trained = run.trained
        mixed = own == 2 or run.numerics.autocast
        bucket = 2 * min(_BUCKET, trained)
        return plain._replace(
            parameters=gpus if stage == 3 else 1, adapters=gpus if stage == 3 else 1,
            gradient_shards=gpus if stage >= 2 else 1, states=gpus,
            root=root if stage == 3 else 0, layer=largest if stage == 3 else 0,
            master=0 if distributed.offload or own == 4 or not mixed else 4 * trained // gpus,
            buffers=bucket * (2 if stage < 3 else 1),
            buffer_formula="reduce and allgather buckets: min(5e8, trained) × 2",
            host=(4 * 3 * trained + (base.total if stage == 3 else 0)) // gpus if distributed.offload else 0,
            state_on_host=bool(distributed.offload), weights_on_host=bool(distributed.offload) and stage == 3,
            source=_DEEPSPEED,
        )  # fmt: skip
    if gpus > 1:
        return plain._replace(buffers=_trained(run, own), buffer_formula="trained × bytes", source=_DDP)
    return plain
