"""Datasets of frameworks whose configs name a Python component: torchtune, litgpt; and mlx-lm's own layout."""

from __future__ import annotations

from typing import Any

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.portions import Portion, Raw, Taken, sections, strings, text
from loraplan.formats.reading import Reading
from loraplan.formats.values import to_bool, to_float

# The `source` that each builder takes where none is written (torchtune 0.6.1 datasets/*.py).
_TORCHTUNE = {
    "alpaca_dataset": "tatsu-lab/alpaca",
    "alpaca_cleaned_dataset": "yahma/alpaca-cleaned",
    "samsum_dataset": "Samsung/samsum",
    "slimorca_dataset": "Open-Orca/SlimOrca-Dedup",
    "grammar_dataset": "liweili/c4_200m",
    "cnn_dailymail_articles_dataset": "ccdv/cnn_dailymail",
    "hh_rlhf_helpful_dataset": "RLHFlow/HH-RLHF-Helpful-standard",
    "stack_exchange_paired_dataset": "lvwerra/stack-exchange-paired",
    "the_cauldron_dataset": "HuggingFaceM4/the_cauldron",
}
# Source and share held out (litgpt 0.5.13 data/*.py).
_LITGPT: dict[str, tuple[str, float | None]] = {
    "Alpaca": ("tloen/alpaca-lora", 0.03865),
    "Alpaca2k": ("mhenrichsen/alpaca_2k_test", 0.05),
    "AlpacaGPT4": ("Instruction-Tuning-with-GPT-4/GPT-4-LLM", 0.03847),
    "LIMA": ("GAIR/lima", 0.1),
    "Deita": ("HuggingFaceH4/deita-10k-v0-sft", None),
}


def torchtune(_reading: Reading, raw: Raw) -> Taken | None:
    """One section or a list of them, with `source`, `split`, `data_files`."""
    value: Any = raw("dataset") if raw("dataset") is not None else raw("datasets")
    if value is None:
        return None
    found = []
    for item in sections(value):
        component = (text(item.get("_component_")) or "").rpartition(".")[2]
        if to_bool(item.get("filter_fn")) or item.get("filter_fn"):
            raise UnknownSizeError("the dataset is filtered")
        source = text(item.get("source")) or _TORCHTUNE.get(component)
        files = strings(item.get("data_files"))
        if source in ("json", "csv", "parquet", "text") and files:
            source = files[0] if len(files) == 1 else source
        found.append(
            Portion(
                source or component, text(item.get("split")) or "train", text(item.get("name") or item.get("subset")),
                files=files,
            )
        )  # fmt: skip
    return Taken(tuple(found))


def litgpt(_reading: Reading, raw: Raw) -> Taken | None:
    """A data class of `litgpt.data`, with what it holds out."""
    data = raw("data")
    kind = data if isinstance(data, str) else data.get("class_path") if isinstance(data, dict) else None
    name = (text(kind) or "").rpartition(".")[2]
    written = raw("data.init_args.val_split_fraction")
    if name == "JSON":
        path = raw.text("data.init_args.json_path")
        if path is None:
            return None
        share = to_float(written)
        return Taken((Portion(path),), 0.05 if share is None and path.endswith((".json", ".jsonl")) else share)
    if name not in _LITGPT:
        raise UnknownSizeError(f"the size of litgpt's {name or 'data'} is not known")
    source, share = _LITGPT[name]
    if name == "LIMA" and to_bool(raw("data.init_args.include_multiturn_conversations")):
        raise UnknownSizeError("conversations become several examples")
    own = raw.text("data.init_args.repo_id")
    split = "train_sft" if name == "Deita" else "train"
    return Taken((Portion(own or source, split),), to_float(written) if written is not None else share)


def mlx_lm(_reading: Reading, raw: Raw) -> Taken | None:
    """A folder with `train.jsonl`, or `hf_dataset` with its own splits (0.32.2 tuner/datasets.py)."""
    hub = raw("hf_dataset")
    if hub:
        found = []
        for item in sections(hub):
            config = item.get("config")
            subset = text(config.get("name")) if isinstance(config, dict) else None
            found.append(Portion(text(item.get("path")) or "", text(item.get("train_split")) or "train[:80%]", subset))
        return Taken(tuple(found))
    path = raw.text("data")
    return None if path is None else Taken((Portion(path, files=("train.jsonl",)),))
