"""Which datasets a run takes, which split of each and how much of it, as each framework reads its own keys."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from loraplan.datasets import UnknownSizeError, cap
from loraplan.document import find
from loraplan.formats.reading import Reading
from loraplan.formats.values import Unresolved, plain, to_bool, to_float


class Portion(NamedTuple):
    """A dataset and what is taken of it."""

    name: str
    split: str = "train"
    """With its slice, if any: `train[:10%]`."""
    subset: str | None = None
    files: tuple[str, ...] = ()
    """The files of a local dataset, where they are named."""
    most: int | None = None
    exactly: int | None = None
    """Rows drawn, with repetition where the dataset has fewer."""
    share: float | None = None
    shards: tuple[int, int] | None = None
    """The index of the shard that is taken, and the number of shards."""


class Taken(NamedTuple):
    """What one run trains on."""

    portions: tuple[Portion, ...]
    held_out: float | None = None
    """Rows held out for evaluation: a number where 1 or more, else a share."""
    most: int | None = None


def taken(reading: Reading) -> Taken:
    """The datasets of a run; UnknownSizeError where the config does not say, or what it says cannot be followed."""
    raw = Raw(reading)
    if to_bool(raw("streaming")) or to_bool(raw("data.train.stream")):
        raise UnknownSizeError("the data are streamed")
    own = _OWN.get(reading.format)
    run = own(reading, raw) if own else None
    if run is None:
        run = Taken(tuple(Portion(name) for name in reading.plan.data.datasets or ()), reading.plan.data.val_size)
    if not run.portions:
        raise UnknownSizeError("no dataset is named")
    if run.most is None and reading.format not in ("llamafactory", "ms-swift", "oumi"):
        run = run._replace(most=cap(reading))
    return run


class Raw:
    """The values of a config by dotted key."""

    def __init__(self, reading: Reading) -> None:
        self._root = reading.root
        self._loader: Any = "yaml-1.1" if reading.document.syntax == "yaml" else "literal"

    def __call__(self, key: str) -> Any:
        node = find(self._root, tuple(key.split(".")))
        return None if node is None else plain(node, self._loader)

    def text(self, key: str) -> str | None:
        """A string that is known, or None."""
        return text(self(key))


def text(value: Any) -> str | None:
    """A string that is known and not empty, or None."""
    return value if isinstance(value, str) and value and not isinstance(value, Unresolved) else None


def number(value: Any) -> int | None:
    """A positive whole number, or None."""
    found = to_float(value)
    return int(found) if found is not None and 0 < found < 1e15 and float(found).is_integer() else None


def sections(value: Any) -> Iterator[dict[str, Any]]:
    """The mappings of a list, or the one mapping; anything else among them makes the size unknown."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise UnknownSizeError("a dataset is not written as a mapping")
        yield item


def strings(value: Any) -> tuple[str, ...]:
    """One string or a list of them."""
    return tuple(item for item in (value if isinstance(value, list) else [value]) if text(item))


def _axolotl(reading: Reading, raw: Raw) -> Taken | None:
    """`datasets[]` with `split`, `shards`, `name`, `data_files` (0.19.0 utils/data/shared.py, sft.py)."""
    if not isinstance(raw("datasets"), list):
        return None
    if to_bool(raw("dataset_exact_deduplication")):
        raise UnknownSizeError("duplicates are dropped (dataset_exact_deduplication)")
    found = []
    for item in sections(raw("datasets")):
        if isinstance(item.get("name"), list):
            raise UnknownSizeError("a dataset has several subsets")
        shards = number(item.get("shards"))
        index = to_float(item.get("shards_idx")) or 0
        found.append(
            Portion(
                text(item.get("path")) or "",
                text(item.get("split")) or "train",
                text(item.get("name")),
                files=strings(item.get("data_files")),
                shards=(int(index), shards) if shards else None,
            )
        )
    whole = number(raw("dataset_shard_num"))
    if whole and raw("dataset_shard_idx") is not None:
        raise UnknownSizeError(f"one of {whole} shards is taken")
    held_out = None if raw("test_datasets") else reading.plan.data.val_size
    return Taken(tuple(found), held_out)


def _llamafactory(reading: Reading, raw: Raw) -> Taken:
    """Names that `dataset_info.json` explains, `max_samples` of each (0.9.5 data/loader.py)."""
    from loraplan.datasets.llamafactory import portions

    names = tuple(name.strip() for name in reading.plan.data.datasets or ())
    mix = raw.text("mix_strategy") or "concat"
    if mix != "concat" and len(names) > 1:
        raise UnknownSizeError(f"datasets are mixed by {mix}")
    folder = raw.text("dataset_dir") or "data"
    most = reading.plan.data.max_samples
    found = [portion._replace(most=most) for portion in portions(names, folder, reading.document.path)]
    return Taken(tuple(found), None if raw("eval_dataset") else reading.plan.data.val_size)


def _ms_swift(reading: Reading, raw: Raw) -> Taken:
    """`id:subset#500`: rows are drawn, repeated where there are too few (4.6.0 dataset/utils.py sample_dataset)."""
    import re

    from loraplan.formats import shell_commands

    found = []
    for word in shell_commands.words(find(reading.root, ("dataset",))) or ():
        name, _, sampled = word.partition("#")
        name, _, subset = re.sub(r"\A(?:HF|MS)::", "", name).partition(":")
        if subset.startswith(("/", "\\")):  # a drive, C:\data
            name, subset = f"{name}:{subset}", ""
        found.append(Portion(name, subset=subset or None, exactly=number(sampled) if sampled else None))
    return Taken(tuple(found), None if raw("val_dataset") else reading.plan.data.val_size)


def _oumi(_reading: Reading, raw: Raw) -> Taken | None:
    """`data.train.datasets[]`; `sample_count` repeats where there are too few (0.9 builders/data.py)."""
    listed = raw("data.train.datasets")
    if not isinstance(listed, list):
        return None
    found = []
    for item in sections(listed):
        if item.get("mixture_proportion") is not None:
            raise UnknownSizeError("datasets are mixed by proportion")
        name = text(item.get("dataset_path")) or text(item.get("dataset_name")) or ""
        found.append(
            Portion(
                name, text(item.get("split")) or "train", text(item.get("subset")),
                exactly=number(item.get("sample_count")),
            )
        )  # fmt: skip
    return Taken(tuple(found))


def _autotrain(reading: Reading, raw: Raw) -> Taken:
    """`data.path` with `data.train_split`."""
    names = reading.plan.data.datasets or ()
    return Taken(tuple(Portion(name, raw.text("data.train_split") or "train") for name in names))


def _nemo(reading: Reading, raw: Raw) -> Taken:
    """`dataset.split`, capped by `limit_dataset_samples` (0.7.0 components/datasets/llm)."""
    most = number(raw("dataset.limit_dataset_samples")) or number(raw("dataset.num_samples_limit"))
    split = raw.text("dataset.split") or "train"
    if "[" in split:
        most = None  # a slice is kept as it is
    return Taken(tuple(Portion(name, split, most=most) for name in reading.plan.data.datasets or ()))


def _hf_args(reading: Reading, raw: Raw) -> Taken:
    """`train_file` or `dataset_name`; what the example scripts hold out depends on the dataset's own splits."""
    if raw("validation_split_percentage") is not None and not raw("validation_file"):
        raise UnknownSizeError("validation_split_percentage holds examples out where the dataset has no such split")
    names = tuple(_QLORA_PY.get(name, name) for name in reading.plan.data.datasets or ())
    subset = raw.text("dataset_config_name") or raw.text("dataset_config")
    return Taken(tuple(Portion(name, subset=subset) for name in names))


# Short names of QLoRA's script (qlora.py@7f4e95a load_data).
_QLORA_PY = {
    "alpaca": "tatsu-lab/alpaca",
    "alpaca-clean": "yahma/alpaca-cleaned",
    "oasst1": "timdettmers/openassistant-guanaco",
}


def _python(reading: Reading, _raw: Raw) -> Taken:
    """A script may do anything with what it loads, so only one that plainly does nothing is followed."""
    changed = (".select(", ".filter(", "train_test_split", ".shard(", ".take(", ".skip(", "concatenate_datasets",
               "interleave_datasets", "streaming", "Subset(", "random_split")  # fmt: skip
    if any(word in reading.document.text for word in changed):
        raise UnknownSizeError("the script changes what it loads")
    return Taken(tuple(Portion(name) for name in reading.plan.data.datasets or ()))


def _custom(reading: Reading, _raw: Raw) -> Taken:
    """A hand-rolled file: its own script may take a part, which its key names would say."""
    for word in ("sample", "subset", "limit", "split", "fraction", "max_ex", "num_ex", "filter", "val_"):
        if word in reading.document.text.lower():
            raise UnknownSizeError("a hand-rolled file, whose script may take a part of the data")
    return Taken(tuple(Portion(name) for name in reading.plan.data.datasets or ()))


def _no_steps(_reading: Reading, _raw: Raw) -> Taken:
    raise UnknownSizeError("this format's datasets are not followed")


def _lazily(module: str, name: str) -> Callable[[Reading, Raw], Taken | None]:
    def read(reading: Reading, raw: Raw) -> Taken | None:
        from importlib import import_module

        own: Callable[[Reading, Raw], Taken | None] = getattr(import_module(f"loraplan.datasets.{module}"), name)
        return own(reading, raw)

    return read


_OWN: dict[str, Callable[[Reading, Raw], Taken | None]] = {
    "axolotl": _axolotl,
    "llamafactory": _llamafactory,
    "trl": _lazily("mixtures", "trl"),
    "open-instruct": _lazily("mixtures", "open_instruct"),
    "ms-swift": _ms_swift,
    "oumi": _oumi,
    "autotrain": _autotrain,
    "nemo-automodel": _nemo,
    "hf-args": _hf_args,
    "python": _python,
    "custom": _custom,
    "torchtune": _lazily("components", "torchtune"),
    "litgpt": _lazily("components", "litgpt"),
    "mlx-lm": _lazily("components", "mlx_lm"),
    "qlora-pipe": _no_steps,
    "openrlhf": _no_steps,
    "llm-toolkit": _no_steps,
    "xtuner": _no_steps,
}
