"""One training step under watch: forward, loss, backward, clipping, optimizer."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loraplan.trace.autocast import casting
from loraplan.trace.chunked import selections, tiles_in_place
from loraplan.trace.cuda import as_on_cuda, kernels
from loraplan.trace.ledger import Instant, Ledger, watched
from loraplan.trace.model import build
from loraplan.trace.patched import patched
from loraplan.trace.quantized import statistics
from loraplan.trace.setting import Setting

PHASES = {
    "forward": {"forward"},
    "loss": {"loss", "loss backward"},
    "backward": {"backward"},
    "optimizer": {"optimizer"},
}
"""`loss` runs from the last norm's output to the gradient of that output; `backward` is what follows."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The fullest moment of a phase."""

    size: int
    by_kind: dict[str, int]
    operation: str
    """What allocated last."""
    module: str
    alive: frozenset[int]


@dataclass(frozen=True, slots=True)
class Saved:
    """A storage kept for the backward: who made it, and who keeps it."""

    module: str
    operation: str
    size: int
    shape: tuple[int, ...]
    dtype: str
    keepers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Bytes alive in each phase of the last step, by kind, and the tensors that autograd kept."""

    phases: dict[str, Phase]
    saved: tuple[Saved, ...]
    trainable: int
    ledger: Ledger


def trace(config: Any, setting: Setting) -> Trace:
    """Run a step of a model on the meta device, with the optimizer's states in place as after the first."""
    ledger = Ledger()
    with _prepared(ledger, config, setting, states=True) as (loaded, trainable, step):
        start = len(ledger.events)
        saved = step(look=True)
        ledger.close()
    return Trace(_phases(ledger, loaded, start), saved, trainable, ledger)


def run(config: Any, setting: Setting, lengths: Sequence[int] = ()) -> Ledger:
    """A run from its first step on, which makes the optimizer's states; gradients go after each step.

    `lengths`: of the sequences of each step; three steps of the setting's length if not given.
    """
    ledger = Ledger()
    with _prepared(ledger, config, setting, states=False) as (_, _, step):
        for length in lengths or 3 * (setting.sequence,):
            step(look=False, length=length)
        ledger.close()
    return ledger


@contextlib.contextmanager
def _prepared(
    ledger: Ledger, config: Any, setting: Setting, *, states: bool
) -> Iterator[tuple[int, int, Callable[..., tuple[Saved, ...]]]]:
    """Events of loading, trained parameters, and a step to run under watch."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(config, setting)
        parameters = [item for item in model.parameters() if item.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, foreach=setting.optimizer == "adamw_foreach")
        _label_model(ledger, model)
        loaded = len(ledger.events)
        if states:
            _make_states(ledger, optimizer, parameters)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_watching_modules(ledger, model))
            stack.enter_context(casting())
            stack.enter_context(as_on_cuda())
            stack.enter_context(_no_reading_of_values())
            replaced = kernels()
            if setting.loss == "chunked":
                stack.enter_context(tiles_in_place())
                replaced |= selections()
            stack.enter_context(watched(ledger, replaced))
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(lambda item: ledger.label([item.grad], "gradients"))

            def step(*, look: bool, length: int = setting.sequence) -> tuple[Saved, ...]:
                batch = _batch(ledger, setting, length)
                saved = _step(ledger, model, batch, optimizer, parameters, setting, look=look)
                if not look:
                    optimizer.zero_grad()
                return saved

            yield loaded, sum(item.numel() for item in parameters), step


def _step(
    ledger: Ledger,
    model: Any,
    batch: dict[str, Any],
    optimizer: Any,
    parameters: list[Any],
    setting: Setting,
    *,
    look: bool,
) -> tuple[Saved, ...]:
    """`look` at what autograd keeps: slow."""
    import torch

    ledger.phase = "forward"
    with torch.autocast("cuda", torch.bfloat16, enabled=setting.autocast):
        outputs = model(**batch)
    loss = outputs.loss
    cache = getattr(outputs, "past_key_values", None)
    if cache is not None and setting.outputs_kept:
        ledger.label([item for layer in cache.layers for item in (layer.keys, layer.values)], "KV cache")
    # reading what a non-reentrant checkpoint saved would recompute it
    saved = saved_tensors(ledger, loss) if look and setting.checkpointing != "non-reentrant" else ()
    if not setting.outputs_kept:
        del outputs, cache
    ledger.phase = "loss backward"
    _backward(loss)
    if not setting.outputs_kept:
        del loss
    ledger.phase = "optimizer"
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    ledger.phase = "end"
    return saved


def _make_states(ledger: Ledger, optimizer: Any, parameters: list[Any]) -> None:
    """A first step, out of sight."""
    import torch

    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state.values():
        ledger.label([item for item in state.values() if isinstance(item, torch.Tensor)], "optimizer state")


def _backward(loss: Any) -> None:
    """`loss.backward()` within the modes that watch: as a torch function it would leave them."""
    import torch

    engine = torch.autograd.Variable._execution_engine  # noqa: SLF001 -- `torch.autograd.backward` leaves them too
    gradient = (torch.ones_like(loss),)
    engine.run_backward((loss,), gradient, False, False, (), allow_unreachable=True, accumulate_grad=True)


def _batch(ledger: Ledger, setting: Setting, length: int) -> dict[str, Any]:
    import torch

    shape = (setting.batch, length)
    ids = torch.zeros(shape, dtype=torch.long, device="meta")
    batch: dict[str, Any] = {"input_ids": ids, "labels": torch.zeros_like(ids)}
    if setting.padded:
        mask = (setting.batch, 1, length, length)
        batch["attention_mask"] = torch.zeros(mask, dtype=torch.bool, device="meta")
    if setting.loss == "chunked":
        batch["fused_lm_head"] = True
    ledger.label([item for item in batch.values() if isinstance(item, torch.Tensor)], "batch")
    return batch


def _label_model(ledger: Ledger, model: Any) -> None:
    import torch

    for parameter in model.parameters():
        ledger.label([parameter], "adapter weights" if parameter.requires_grad else "frozen weights")
    ledger.label(statistics(model), "frozen weights")
    ledger.label(model.buffers(), "buffers")
    for module in model.modules():
        ledger.label([item for item in vars(module).values() if isinstance(item, torch.Tensor)], "buffers")


@contextlib.contextmanager
def _watching_modules(ledger: Ledger, model: Any) -> Iterator[None]:
    """Tell the ledger which module runs, and when the loss begins: behind the last norm."""
    names = {module: name for name, module in model.named_modules()}
    backbone = (model.get_base_model() if hasattr(model, "get_base_model") else model).get_decoder()
    stack: list[str] = []

    def enter(module: Any, _: Any) -> None:
        stack.append(ledger.module)
        ledger.module = names.get(module, ledger.module)

    def leave(*_: Any) -> None:
        ledger.module = stack.pop()

    def loss_begins(_module: Any, _inputs: Any, outputs: Any) -> None:
        ledger.phase = "loss"
        if outputs.last_hidden_state.requires_grad:
            outputs.last_hidden_state.register_hook(backward_begins)

    def backward_begins(_: Any) -> None:
        ledger.phase = "backward"

    from torch.nn.modules import module as torch_module

    handles = [
        torch_module.register_module_forward_pre_hook(enter),
        torch_module.register_module_forward_hook(leave, always_call=True),
        backbone.register_forward_hook(loss_begins),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _no_reading_of_values() -> Iterator[None]:
    """transformers looks into position ids for packed sequences; meta tensors have no values."""
    from transformers import masking_utils

    with patched(masking_utils, find_packed_sequence_indices=lambda *_, **__: None):
        yield


def saved_tensors(ledger: Ledger, loss: Any) -> tuple[Saved, ...]:
    """Walk the graph of a loss: each storage once, with the backward nodes that hold it, weights left out."""
    import torch

    keepers: dict[int, set[str]] = {}
    seen, queue = set(), [loss.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        queue += [following for following, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_raw_saved") or not (name.startswith("_saved_") or name == "saved_tensors"):
                continue
            value = getattr(node, name)
            for item in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(item, torch.Tensor):
                    number = ledger.note(item, "saved")
                    if number is not None:
                        keepers.setdefault(number, set()).add(f"{node.name()}.{name.removeprefix('_saved_')}")
    found = []
    for number, holders in sorted(keepers.items()):
        if ledger.labels.get(number) in {"frozen weights", "adapter weights"}:
            continue
        item = ledger.storages[number]
        found.append(Saved(item.module, item.operation, item.size, item.shape, item.dtype, tuple(sorted(holders))))
    return tuple(found)


def _phases(ledger: Ledger, loaded: int, start: int) -> dict[str, Phase]:
    """The fullest moment of each phase of the step that begins at event `start`; `load` and `end` are moments."""
    before = ledger.alive(start)
    kept = frozenset[int]()  # alive when the backward begins, and not before the step
    for index in range(start, len(ledger.events)):
        if ledger.events[index].phase == "loss backward":
            kept = ledger.alive(index) - before
            break
    found = {"load": _phase(ledger, ledger.moment(loaded), kept)}
    for name, parts in PHASES.items():
        found[name] = _phase(ledger, ledger.peak(start, parts), kept)
    found["end"] = _phase(ledger, ledger.moment(len(ledger.events)), kept)
    return found


def _phase(ledger: Ledger, instant: Instant, kept: frozenset[int]) -> Phase:
    by_kind: dict[str, int] = {}
    for number in instant.alive:
        kind = ledger.labels.get(number) or ("saved activations" if number in kept else "temporaries")
        by_kind[kind] = by_kind.get(kind, 0) + ledger.storages[number].size
    return Phase(instant.size, dict(sorted(by_kind.items())), instant.operation, instant.module, instant.alive)
