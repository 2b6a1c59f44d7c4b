"""What rules may ask for besides the Plan: architecture, dataset size, GPU, baseline, versions, words for messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from loraplan.derived import number
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Derived
from loraplan.plan import get
from loraplan.record import record
from loraplan.rule import Need, Skip

if TYPE_CHECKING:
    from loraplan.arch.match import Matched
    from loraplan.arch.spec import ArchSpec
    from loraplan.datasets import Size
    from loraplan.devices import Device
    from loraplan.memory.term import Estimate

T = TypeVar("T")


@record()
class Inputs:
    """What the user says besides the config, from the command line and the settings."""

    model: str | None = None
    """Used instead of the model that the config names."""
    default_model: str | None = None
    """Used where the config names none."""
    gpu: str | None = None
    dataset_size: int | None = None
    baseline: str | None = None
    """A file or git revision; without it, the last committed version that differs."""
    versions: tuple[tuple[str, str], ...] = ()
    """Framework versions, over those of the settings and the surroundings."""
    online: bool = False


class Facts:
    """The inputs of one run, each looked up on first use and then kept, absence included."""

    def __init__(
        self, reading: Reading, inputs: Inputs, versions: dict[str, str], earlier: Callable[[Reading], Reading]
    ) -> None:
        self.reading = reading
        self.inputs = inputs
        self.versions = versions
        self._earlier = earlier
        self._kept: dict[str, Any] = {}

    def arch(self) -> ArchSpec:
        return self._once("arch", self._find_arch)

    def matched(self) -> Matched:
        return self._once("matched", self._match)

    def gpu(self) -> Device:
        return self._once("gpu", self._find_gpu)

    def dataset(self) -> Size:
        return self._once("dataset", self._find_dataset)

    def baseline(self) -> Reading:
        return self._once("baseline", lambda: self._earlier(self.reading))

    def estimate(self) -> Estimate:
        """Peak memory of the run; raises Skip where the architecture is unknown."""
        return self._once("estimate", self._estimate)

    def _once(self, name: str, find: Callable[[], T]) -> T:
        if name not in self._kept:
            try:
                self._kept[name] = find()
            except Skip as skip:
                self._kept[name] = skip
        kept = self._kept[name]
        if isinstance(kept, Skip):
            raise Skip(kept.need, kept.reason)
        return cast("T", kept)

    def _find_arch(self) -> ArchSpec:
        name = self.inputs.model or self.reading.plan.model.name or self.inputs.default_model
        if not name:
            raise Skip("arch", "no base model named (--model names one)")
        from loraplan.arch.sources import resolve

        path = self.reading.document.path
        beside = self.inputs.model is None and os.path.exists(path)
        base = os.path.dirname(os.path.abspath(path)) if beside else os.getcwd()
        problems: list[str] = []
        found = resolve(name, base_dir=base, online=self.inputs.online, problems=problems)
        if found is None:
            raise Skip("arch", f"model architecture unknown: {problems[0] if problems else name}")
        return self._loaded(found)

    def _loaded(self, arch: ArchSpec) -> ArchSpec:
        """What the framework loads of a model: its language part alone, where it takes no images."""
        if arch.multimodal:
            from loraplan.arch.text import text_model
            from loraplan.formats.loading import text_alone

            if text_alone(self.reading, arch.model_type):
                return text_model(arch)
        return arch

    def _match(self) -> Matched:
        from dataclasses import replace

        from loraplan.arch.match import match
        from loraplan.formats.targets import made_by_peft

        adapter, arch = self.reading.plan.adapter, self.arch()
        last = self.reading.facts.get("last_layers")  # mlx-lm counts from the end, which only the architecture tells
        if isinstance(last, int) and 0 < last < arch.num_layers and adapter.layers_to_transform is None:
            adapter = replace(adapter, layers_to_transform=tuple(range(arch.num_layers - last, arch.num_layers)))
        return match(adapter, arch, peft=made_by_peft(self.reading))

    def _find_dataset(self) -> Size:
        from loraplan import datasets

        given = self.inputs.dataset_size
        if given is not None:
            most = datasets.cap(self.reading)
            if most is not None and most < given:
                return datasets.Size(most, f"--dataset-size {given:,}, capped at {most:,}")
            return datasets.Size(given, "--dataset-size")
        try:
            return datasets.size(self.reading)
        except datasets.UnknownSizeError as unknown:
            raise Skip("dataset", f"dataset size unknown: {unknown} (--dataset-size gives it)") from unknown

    def _estimate(self) -> Estimate:
        from loraplan.memory.model import estimate
        from loraplan.memory.stack import stack_of

        try:
            device = self.gpu()
        except Skip:
            device = None
        return estimate(self.reading.plan, self.arch(), device, stack=stack_of(self.reading, self.versions))

    def _find_gpu(self) -> Device:
        if self.inputs.gpu is None:
            raise Skip("gpu", "GPU unknown (--gpu names one)")
        from loraplan.devices import find

        return find(self.inputs.gpu)


class RunContext:
    """`loraplan.rule.Context` for one rule and one run."""

    def __init__(self, facts: Facts, options: dict[str, Any]) -> None:
        self.reading = facts.reading
        self.options = SimpleNamespace(**{name.replace("-", "_"): value for name, value in options.items()})
        self._facts = facts

    @property
    def arch(self) -> ArchSpec:
        return self._facts.arch()

    @property
    def arch_or_none(self) -> ArchSpec | None:
        return _or_none(self._facts.arch)

    @property
    def matched(self) -> Matched:
        return self._facts.matched()

    @property
    def dataset_size(self) -> int:
        return self._facts.dataset().examples

    @property
    def dataset_size_or_none(self) -> int | None:
        found = _or_none(self._facts.dataset)
        return None if found is None else found.examples

    @property
    def gpu(self) -> Device:
        return self._facts.gpu()

    @property
    def estimate(self) -> Estimate:
        return self._facts.estimate()

    @property
    def gpu_or_none(self) -> Device | None:
        return _or_none(self._facts.gpu)

    @property
    def baseline(self) -> Reading:
        return self._facts.baseline()

    def explicit(self, *names: str) -> bool:
        return all(self.reading.explicit(name) is not None for name in names)

    def version(self, framework: str) -> str | None:
        if framework == self.reading.framework and self.reading.version is not None:
            return self.reading.version
        return self._facts.versions.get(framework)

    def key(self, name: str) -> str:
        return self.reading.key(name)

    def said(self, name: str) -> str:
        value = get(self.reading.plan, name)
        match self.reading.origins.get(name):
            case Default(framework=framework):
                return f"{self.key(name)} {words(value)} ({framework} default)"
            case Derived(how=how):
                return f"{self.key(name)} {words(value)} ({how})"
        return f"{self.key(name)} {words(value)}"


def words(value: Any) -> str:
    """A Plan's value as people write it."""
    match value:
        case None:
            return "not set"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case tuple():
            return f"[{', '.join(words(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{name}: {words(item)}" for name, item in value.items()) + "}"
    return str(value)


def _or_none(find: Callable[[], T]) -> T | None:
    try:
        return find()
    except Skip:
        return None


def needs_words(need: Need | str) -> str:
    """A missing input in the few words of a summary."""
    return {
        "arch": "model architecture unknown",
        "dataset": "dataset size unknown",
        "gpu": "GPU unknown",
        "baseline": "no earlier version",
    }.get(need, need)
