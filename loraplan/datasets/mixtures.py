"""Mixtures of datasets: TRL's and alignment-handbook's, open-instruct's."""

from __future__ import annotations

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.portions import Portion, Raw, Taken, sections, strings, text
from loraplan.formats.reading import Reading
from loraplan.formats.values import to_float


def trl(reading: Reading, raw: Raw) -> Taken | None:
    """`dataset_name`, `dataset_mixture.datasets`, `dataset_mixer` (trl 1.16.0 scripts/utils.py get_dataset)."""
    mixture = raw("dataset_mixture")
    listed = mixture.get("datasets") if isinstance(mixture, dict) else raw("datasets")
    if isinstance(listed, list):
        items = list(sections(listed))
        if any(key in item for item in items for key in ("fraction", "weight")):
            raise UnknownSizeError("datasets are mixed by weight")
        out = to_float(mixture.get("test_split_size") if isinstance(mixture, dict) else raw("test_split_size"))
        return Taken(
            tuple(
                Portion(
                    text(item.get("path") or item.get("id")) or "",
                    text(item.get("split")) or "train",
                    text(item.get("name") or item.get("config")),
                    files=strings(item.get("data_files")),
                )
                for item in items
            ),
            out,
        )
    if raw("dataset_mixer") is not None:
        return _mixer(raw)
    names = reading.plan.data.datasets or ()
    split = raw.text("dataset_train_split") or raw.text("dataset_splits") or "train"
    subset = raw.text("dataset_config") or raw.text("dataset_config_name")
    return Taken(tuple(Portion(name, split, subset) for name in names))


def _mixer(raw: Raw) -> Taken:
    """The mixer's shares of the training splits in `dataset_splits` (alignment-handbook data.py mix_datasets)."""
    mixer, splits = raw("dataset_mixer"), raw("dataset_splits")
    if not isinstance(mixer, dict):
        raise UnknownSizeError("dataset_mixer cannot be read")
    named = [split for split in strings(splits) if "train" in split] if splits is not None else ["train"]
    found = []
    for name, share in mixer.items():
        if to_float(share) is None:
            raise UnknownSizeError(f"the share of {name} cannot be read")
        found += [Portion(str(name), split, share=to_float(share)) for split in named]
    return Taken(tuple(found))


def open_instruct(_reading: Reading, raw: Raw) -> Taken | None:
    """`dataset_mixer_list`: name, then a share with a point or a number of rows, in turn."""
    listed = raw("dataset_mixer_list")
    if isinstance(listed, list) and listed and len(listed) % 2 == 0:
        found = []
        for name, amount in zip(listed[::2], listed[1::2], strict=True):
            share, written = to_float(amount), str(amount)
            if share is None:
                raise UnknownSizeError(f"the share of {name} cannot be read")
            whole = "." not in written
            found.append(Portion(str(name), most=int(share) if whole else None, share=None if whole else share))
        return Taken(tuple(found))
    if isinstance(raw("dataset_mixer"), dict):
        return _mixer(raw)
    return None
