"""PEFT's target matching, emulated on an ArchSpec (peft 0.21.2 `tuners/tuners_utils.py`).

Names are matched by pattern, all layers at once, wherever the target cannot tell one layer from another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from loraplan.arch.convert import converted, default_targets
from loraplan.arch.pattern import BadPattern, Pattern, is_plain
from loraplan.arch.reach import containers, exclusion, has_digit, in_layers, listed, only, real, without
from loraplan.arch.spec import ArchSpec, Module
from loraplan.record import record

if TYPE_CHECKING:
    from loraplan.plan import Adapter

ADAPTABLE = frozenset(("Linear", "Conv1D", "Embedding", "Conv1d", "Conv2d", "Conv3d"))
"""Classes for which PEFT has a LoRA layer (peft 0.21.2 `tuners/lora/model.py`, dispatchers)."""
_MOST = 1 << 40
_MAMBA = frozenset(("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"))
_NOT_IN_MAMBA = frozenset(("out_proj", "conv1d"))
"""Modules that fast kernels read past the adapter (peft 0.21.2 `_check_lora_target_modules_mamba`)."""


@record()
class Matched:
    """What an adapter's targets select. A module stands with the layers that are really adapted."""

    modules: tuple[Module, ...]
    unmatched: tuple[str, ...]
    """Entries of a target list that match nothing."""
    from_default: bool
    """`target_modules` was absent and PEFT's table for the architecture was used."""
    no_default: bool = False
    """`target_modules` is absent and PEFT has no entry for the architecture: it raises."""
    unsupported: tuple[str, ...] = ()
    """Names selected whose class has no LoRA layer (norms, routers, whole blocks): PEFT raises."""
    excluded: tuple[str, ...] = ()
    """Patterns of modules that the targets select and `exclude_modules` or `modules_to_save` takes out again."""
    problem: str | None = None
    """Why PEFT refuses the targets, or why they could not be judged (an invalid regular expression)."""
    ranks: tuple[tuple[str, int], ...] = ()
    """Patterns that PEFT itself adds to the rank pattern, with the multiple of r, for experts that were fused."""
    converted: bool = False
    """Expert names were turned into parameters (transformers 5 with PEFT's conversion for the architecture)."""

    @property
    def matched_any(self) -> bool:
        """Whether anything is adapted."""
        return bool(self.modules)

    def parameters(self, adapter: Adapter) -> int:
        """LoRA parameters: the sum of r * (in + out), rank pattern respected; DoRA magnitudes included."""
        return sum(
            rank * sides(module) * copies + extra(adapter, module) * copies
            for module in self.modules
            for rank, copies in self.rank_groups(adapter, module)
        )

    def rank_groups(self, adapter: Adapter, module: Module) -> Iterator[tuple[int, int]]:
        """(rank, how many copies of the module have it); nothing where r is unknown or no positive whole number."""
        rank, left = _whole(adapter.r), module.copies
        if rank is None:
            return
        layers = module.layers
        patterns = [(key, _whole(value)) for key, value in (adapter.rank_pattern or {}).items()]
        patterns += [(key, rank * factor) for key, factor in self.ranks]
        for key, value in patterns:
            hit = _pattern_hit(key, module._replace(layers=layers)) if left and value is not None else None
            if hit is None or value is None:
                continue
            yield value, hit.copies
            left -= hit.copies
            if layers is not None and hit.layers is not None:
                taken = set(hit.layers)
                layers = tuple(layer for layer in layers if layer not in taken)
        if left:
            yield rank, left


def match(adapter: Adapter, arch: ArchSpec, *, peft: bool = True) -> Matched:
    """The modules that `get_peft_model` would adapt, with layer and exclusion filters applied.

    Without `peft` another framework's own layers take the same names, and PEFT's ban on some of them does not hold.
    """
    targets, parameters = adapter.target_modules, adapter.target_parameters or ()
    try:
        changed = converted(targets, arch)
    except BadPattern as error:
        return Matched((), (), False, problem=str(error))
    except ValueError as error:
        return Matched((), (), False, problem=str(error), converted=True)
    from_default, origin = False, targets
    if changed is not None:
        targets, parameters = changed.targets, (*parameters, *changed.parameters)
        if origin is None and not parameters:
            return Matched((), (), False, no_default=True)
    elif targets is None:
        targets = default_targets(arch.model_type)
        if targets is None and not parameters:
            return Matched((), (), False, no_default=True)
        from_default = targets is not None
    try:
        found = _select(targets, adapter, arch)
        excluded = exclusion(adapter)
        kept, dropped = without(found.modules, excluded)
        containers, spared = without(found.others, excluded)
    except BadPattern as error:
        return Matched((), (), from_default, problem=f"invalid regular expression: {error}")
    hit_parameters, flat = _select_parameters(parameters, arch)
    missing = found.unmatched
    if changed is not None and not isinstance(origin, str):
        leaves = {name.rpartition(".")[2] for name in flat} | {m.name.rpartition(".")[2] for m in hit_parameters}
        names = {f"{m.name}.weight" for m in arch.modules}
        for entry, parameter in changed.moved:
            if parameter not in leaves and not any(name.endswith(f".{parameter}") for name in names):
                missing = (*missing, entry)
    refused = _NOT_IN_MAMBA if peft and arch.model_type in _MAMBA else frozenset[str]()
    good = [m for m in kept if m.kind in ADAPTABLE and m.name.rpartition(".")[2] not in refused]
    unsupported = [m.name for m in kept if m not in good]
    unsupported += [m.name for m in containers]
    return Matched(
        modules=(*good, *hit_parameters),
        unmatched=missing,
        from_default=from_default,
        unsupported=tuple(unsupported) + flat,
        excluded=tuple(m.name for m in (*dropped, *spared)),
        ranks=changed.ranks if changed is not None else (),
        converted=bool(changed is not None and (changed.moved or isinstance(origin, str))),
    )


def linear_leaf_names(arch: ArchSpec) -> tuple[str, ...]:
    """The last parts of the names of linear layers, the output head left out: what a target list can name."""
    names = (m.name.rpartition(".")[2] for m in arch.modules if m.kind in ("Linear", "Conv1D") and m.part != "head")
    return tuple(dict.fromkeys(names))


def leaf_names(arch: ArchSpec) -> tuple[str, ...]:
    """The last parts of the names of all modules."""
    return tuple(dict.fromkeys(m.name.rpartition(".")[2] for m in arch.modules))


def saved_modules(entries: tuple[str, ...], arch: ArchSpec) -> dict[str, tuple[Module, ...]]:
    """For each `modules_to_save` entry the modules it makes trainable (peft 0.21.2 utils/other.py `_set_trainable`)."""
    found: dict[str, tuple[Module, ...]] = {}
    for entry in entries:
        hits = tuple(m for m in arch.modules if m.kind != "Parameter" and m.name.endswith(entry))
        if not hits:
            block = f"{entry}."
            hits = tuple(m for m in arch.modules if m.name.startswith(block) or f".{block}" in m.name)
        found[entry] = hits
    return found


def sides(module: Module) -> int:
    """What a rank of one costs: in + out; a convolution's A keeps the kernel, fused experts have one pair each."""
    if module.kind in ("Conv1d", "Conv2d", "Conv3d"):
        outputs, inputs, *kernel = module.shape
        for width in kernel:
            inputs *= width
        return inputs + outputs
    first, second = module.features
    experts = module.shape[0] if len(module.shape) == 3 else 1
    return experts * (first + second)


def extra(adapter: Adapter, module: Module) -> int:
    """What an adapter layer has besides A and B: DoRA's magnitude, and a bias on B with `lora_bias`."""
    if module.kind == "Parameter":
        return 0
    width = module.shape[0] if module.kind in ("Conv1d", "Conv2d", "Conv3d") else module.features[1]
    return width * (bool(adapter.use_dora) + bool(adapter.lora_bias))


class _Found(NamedTuple):
    modules: list[Module]
    others: list[Module]
    """Blocks and other names that own no weights."""
    unmatched: tuple[str, ...]


def _select(targets: tuple[str, ...] | str | None, adapter: Adapter, arch: ArchSpec) -> _Found:
    """What the targets reach, layer filters applied, exclusions not yet."""
    if targets is None:
        return _Found([], [], ())
    if isinstance(targets, str):
        if targets.lower() == "all-linear":
            linear = [m for m in arch.modules if m.kind in ("Linear", "Conv1D") and m.part != "head"]
            return _Found(in_layers(linear, adapter), [], ())
        pattern = Pattern(targets)
        hits = [hit for m in real(arch) if (hit := only(m, pattern.fullmatch, pattern.digits)) is not None]
        others = [hit for m in containers(arch) if (hit := only(m, pattern.fullmatch, pattern.digits)) is not None]
        return _Found(hits, others, ())
    used: set[str] = set()
    hits = listed(targets, real(arch), used)
    others = listed(targets, containers(arch), used)
    missing = tuple(entry for entry in targets if entry not in used)
    return _Found(in_layers(hits, adapter), in_layers(others, adapter), missing)


def _select_parameters(entries: tuple[str, ...], arch: ArchSpec) -> tuple[tuple[Module, ...], tuple[str, ...]]:
    """(parameters that `target_parameters` reaches, names of those with too few dimensions); nothing filters them."""
    if not entries:
        return (), ()
    found, flat = [], []
    for m in arch.modules:
        if m.kind == "Parameter":
            candidates = [m]
        else:
            candidates = [m._replace(name=f"{m.name}.weight", kind="Parameter", bias=False)]
            if m.bias:
                candidates.append(m._replace(name=f"{m.name}.bias", kind="Parameter", shape=(1,), bias=False))
        for candidate in listed(tuple(entries), candidates, set()):
            if len(candidate.shape) in (2, 3):
                found.append(candidate)
            else:
                flat.append(candidate.name)
    return tuple(found), tuple(flat)


def _whole(value: float | None) -> int | None:
    """A positive whole number, else None; infinities and NaN are none."""
    if value is None or not 0 < value < _MOST or value != int(value):
        return None
    return int(value)


def _pattern_hit(key: str, module: Module) -> Module | None:
    """The module with the layers whose names a rank pattern's key fits (peft 0.21.2 `get_pattern_key`)."""
    if is_plain(key) and not has_digit(key):
        return module if module.name == key or module.name.endswith(f".{key}") else None
    try:
        pattern = Pattern(rf"(.*\.)?({key})")
    except BadPattern:
        return None
    return only(module, pattern.fullmatch, pattern.digits)
