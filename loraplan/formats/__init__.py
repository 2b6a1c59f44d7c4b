"""Config dialects: the only place that knows a framework's key names.

A format is one module here with one data table in `defaults/`. The module is named in `FORMATS`, in order of
detection, and has:

- `detect(root, document) -> str | None`: the signature found (`base_model + datasets`), or None;
- `read(root, document, signature, versions) -> Iterable[Reading]`: one Reading for each run that the node describes;
- `SIGNATURE: str`: what `detect` looks for, in words, printed when nothing is recognised.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol, cast

from loraplan.document import Document, Mapping, Node, Syntax
from loraplan.formats.reading import Reading
from loraplan.formats.table import Versions

# name -> (module, syntaxes), in order of detection.
FORMATS: dict[str, tuple[str, tuple[Syntax, ...]]] = {
    "peft": ("peft", ("json", "yaml")),
    "loraplan": ("loraplan_yaml", ("yaml", "json", "toml")),
    "torchtune": ("torchtune", ("yaml",)),
    "nemo-automodel": ("nemo_automodel", ("yaml",)),
    "litgpt": ("litgpt", ("yaml",)),
    "ludwig": ("ludwig", ("yaml",)),
    "axolotl": ("axolotl", ("yaml",)),
    "llamafactory": ("llamafactory", ("yaml", "json", "shell")),
    "oumi": ("oumi", ("yaml",)),
    "mlx-lm": ("mlx_lm", ("yaml", "json")),
    "open-instruct": ("open_instruct", ("yaml", "shell")),
    "ms-swift": ("ms_swift", ("shell", "yaml", "json")),
    "trl": ("trl", ("yaml", "shell")),
    "autotrain": ("autotrain", ("yaml",)),
    "h2o-llmstudio": ("h2o_llmstudio", ("yaml",)),
    "unsloth": ("unsloth", ("yaml", "json", "python")),
    "mistral-finetune": ("mistral_finetune", ("yaml",)),
    "xtuner": ("xtuner", ("python",)),
    "qlora-pipe": ("qlora_pipe", ("toml",)),
    "openrlhf": ("openrlhf", ("shell",)),
    "chatglm": ("chatglm", ("yaml",)),
    "llm-toolkit": ("llm_toolkit", ("yaml",)),
    "hf-args": ("hf_args", ("json", "yaml", "shell")),
    "python": ("python_script", ("python",)),
    "custom": ("custom", ("yaml", "json", "toml")),
}


# A mapping with none of these top-level keys cannot be of the format, so its module need not be imported to say so.
_TOP_KEYS: dict[str, frozenset[str]] = {
    "peft": frozenset(("peft_type",)),
    "loraplan": frozenset(("loraplan", "adapter", "model")),
    "torchtune": frozenset(("model",)),
    "nemo-automodel": frozenset(("model", "peft", "recipe", "dataset", "loss_fn", "step_scheduler")),
    "litgpt": frozenset(("checkpoint_dir", "train")),
    "ludwig": frozenset(("model_type", "input_features")),
    "axolotl": frozenset(("base_model",)),
    "llamafactory": frozenset(("model", "model_name_or_path")),
    "oumi": frozenset(("model",)),
    "mlx-lm": frozenset(("lora_parameters", "fine_tune_type", "iters")),
    "open-instruct": frozenset(("model_name_or_path",)),
    "ms-swift": frozenset(("model", "model_id_or_path")),
    "trl": frozenset(("model_name_or_path",)),
    "autotrain": frozenset(("task",)),
    "h2o-llmstudio": frozenset(("llm_backbone",)),
    "unsloth": frozenset(("lora",)),
    "mistral-finetune": frozenset(("model_id_or_path",)),
    "qlora-pipe": frozenset(("model",)),
    "chatglm": frozenset(("training_args",)),
    "llm-toolkit": frozenset(("model",)),
}


class Format(Protocol):
    """What a module named in `FORMATS` provides."""

    SIGNATURE: str

    def detect(self, root: Node, document: Document) -> str | None: ...

    def read(self, root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]: ...


class NotAConfig(Exception):
    """The file parses, but is no known training config: `looks_like` says what it is, if that is plain."""

    def __init__(self, path: str, looks_like: str | None, looked_for: tuple[str, ...]) -> None:
        super().__init__(path)
        self.path = path
        self.looks_like = looks_like
        self.looked_for = looked_for


def load(name: str) -> Format:
    """The module of a format."""
    return cast("Format", import_module(f"loraplan.formats.{FORMATS[name][0]}"))


def detect(document: Document, root: Node) -> tuple[str, str] | None:
    """Name and signature of the first format that recognises a root."""
    keys = set(root.keys()) if isinstance(root, Mapping) and document.syntax not in ("shell", "python") else None
    for name, (_, syntaxes) in FORMATS.items():
        if document.syntax not in syntaxes or (keys is not None and _TOP_KEYS.get(name, keys).isdisjoint(keys)):
            continue
        if signature := load(name).detect(root, document):
            return name, signature
    return None


def read(document: Document, name: str | None = None, versions: Versions | None = None) -> list[Reading]:
    """Every run that a document describes; `name` forces a format. Raises NotAConfig where there is none."""
    readings: list[Reading] = []
    for root in _commands(document, name) if document.syntax == "shell" else document.roots:
        found = (name, "named by the user") if name else detect(document, root)
        if found:
            readings.extend(load(found[0]).read(root, document, found[1], versions or {}))
    if not readings:
        looked_for = tuple(
            f"{key}: {load(key).SIGNATURE}" for key, (_, syntaxes) in FORMATS.items() if document.syntax in syntaxes
        )
        raise NotAConfig(document.path, _looks_like(document), looked_for)
    if document.syntax == "shell" and len(readings) > 1:
        for reading in readings:
            reading.name = reading.name or f"the command in line {document.position(reading.root.span.start).line}"
    return readings


def _commands(document: Document, name: str | None) -> list[Node]:
    """A script's commands that state their own options, rather than hand on a config file.

    With a format that the user names, only those that it recognises, or else the one with the most options.
    """
    from loraplan.formats import shell_commands

    roots = [shell_commands.options(root) for root in document.roots if shell_commands.config_file(root) is None]
    if name is None or not roots:
        return roots
    recognised = [root for root in roots if load(name).detect(root, document)]
    return recognised or [max(roots, key=lambda root: len(root.entries) if isinstance(root, Mapping) else 0)]


def _looks_like(document: Document) -> str | None:
    """What a file that is no training config plainly is."""
    if document.syntax == "shell":
        from loraplan.formats import shell_commands

        file = shell_commands.first_config_file(document)
        return f"a launch script for {file}; check that file" if file else None
    if not document.roots:
        return "an empty file"
    for root in document.roots:
        if not isinstance(root, Mapping):
            continue
        keys = set(root.keys())
        if keys & {"compute_environment", "distributed_type"}:
            return "an accelerate launch config"
        if keys & {"zero_optimization", "train_micro_batch_size_per_gpu"}:
            return "a DeepSpeed config"
        if "repos" in keys:
            return "a pre-commit config"
        if "export_dir" in keys:
            return "an export (merge) config"
        if "infer_backend" in keys:
            return "an inference config"
        if "checkpointer" in keys and "optimizer" not in keys:
            return "a config of a torchtune recipe that does not train"
        if "jobs" in keys and keys & {"on", "permissions"}:
            return "a GitHub workflow"
    return None
