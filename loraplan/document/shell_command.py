"""One shell command's words as a mapping: launcher, training program, options as argparse reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from loraplan.document import Entry, Mapping, Node, Scalar, Sequence, Span
from loraplan.document.shell_words import Field

SHELLS = frozenset("bash sh zsh sbatch qsub ssh".split())
_NUMBER = re.compile(r"-\.?[0-9]")
_PYTHON = re.compile(r"python[0-9.]*\Z")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_RUNNERS = frozenset("deepspeed torchrun accelerate".split())
_WRAPPERS = frozenset(
    "env nohup time exec sudo setsid numactl srun mpirun mpiexec uv poetry conda pixi ray singularity apptainer docker"
    " taskset nice timeout horovodrun colossalai command stdbuf ionice python3 python".split()
)
_LAUNCHER_MODULES = frozenset(
    ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch", "deepspeed.launcher.runner")
)
_PROGRAMS = frozenset("swift megatron llamafactory-cli llamafactory trl axolotl tune litgpt oumi xtuner".split())
_CONFIGS = (".yaml", ".yml", ".json", ".toml")
_TALKERS = frozenset(
    "read set echo printf cat ls cd mkdir rm cp mv ln grep sed awk tee pip apt apt-get git wget curl".split()
)


def command(text: str, fields: list[Field], settings: list[tuple[str, Span, Field]], span: Span) -> Mapping | None:
    """The mapping of a command, or None where it has neither options nor a config file to pass on."""
    if fields[0].text.rpartition("/")[2] in _TALKERS:
        return None
    script = _script(fields)
    start = 0 if script is None else script
    words: list[str] = []
    first_option = start
    while first_option < len(fields) and not _option(fields[first_option]):
        words.append(fields[first_option].text)
        first_option += 1
    if script:
        words = _runner(fields, script) + words
    entries = list(_options(text, fields[first_option:]))
    front = fields[:start]
    if not entries and not any(_option(field) for field in front) and not any(w.endswith(_CONFIGS) for w in words):
        return None
    launcher = [Entry(Scalar(name, place), _scalar(value)) for name, place, value in settings]
    positional = 0
    while front and not _option(front[0]):
        field = front.pop(0)
        setting = _SETTING.match(field.text)
        if setting and field.style != "expression":
            value = field.part(setting.end(), text)
            launcher.append(Entry(Scalar(setting[0][:-1], Span(field.span.start, field.span.end)), _scalar(value)))
        else:
            launcher.append(Entry(Scalar(str(positional), Span(field.span.start, field.span.start)), _scalar(field)))
            positional += 1
    launcher += _options(text, front)
    if launcher:
        where = Span(span.start, fields[start].span.start) if not fields[start].shared else span
        holder = Mapping(tuple(launcher), where if where.end >= where.start else span)
        entries.insert(0, Entry(Scalar("launcher", Span(span.start, span.start)), holder))
    return Mapping(tuple(entries), span, call=" ".join(words))


def _script(fields: list[Field]) -> int | None:
    """Index of the training script, module or program behind a launcher; None where the first word is the program."""
    first = fields[0]
    head = first.text.rpartition("/")[2]
    if head in _PROGRAMS or not (
        first.style == "expression" or head in _RUNNERS or head in _WRAPPERS or _PYTHON.match(head)
    ):
        return None
    for index, field in enumerate(fields):
        if index == 0 or field.joined:
            continue
        before = fields[index - 1].text
        if before in ("-m", "--module"):
            if field.text not in _LAUNCHER_MODULES:
                return index
        elif field.text.endswith(".py") or (
            field.text.rpartition("/")[2] in _PROGRAMS and not fields[index - 1].text.startswith("-")
        ):
            return index
    return None


def _runner(fields: list[Field], script: int) -> list[str]:
    """How the script is started: `python`, `python -m`, `torchrun`, `accelerate launch`, ..."""
    words: list[str] = []
    for field in fields[:script]:
        name = field.text.rpartition("/")[2]
        if name in _RUNNERS or _PYTHON.match(name):
            words = [name]
        elif name == "launch" and words == ["accelerate"]:
            words.append(name)
    if fields[script - 1].text in ("-m", "--module"):
        words.append("-m")
    return words


def _option(field: Field) -> bool:
    """Whether argparse takes the word for an option."""
    text = field.text
    if field.joined or len(text) < 2 or text[0] != "-" or _NUMBER.match(text) or field.style == "expression":
        return False
    return " " not in text.partition("=")[0] and text != "--"


def _options(text: str, fields: Iterable[Field]) -> Iterable[Entry]:
    key: Field | None = None
    values: list[Field] = []
    for field in fields:
        if _option(field):
            if key is not None:
                yield _entry(key, values)
            key, values = field, []
            if "=" in field.text:
                cut = field.text.index("=")
                key = field._replace(text=field.text[:cut])
                values = [field.part(cut + 1, text)]
        elif key is None or field.text == "--" or (values and values[-1].joined) or _extra(field, values):
            continue
        elif field.text.strip() or not field.text or field.style != "plain":
            values.append(field)
    if key is not None:
        yield _entry(key, values)


def _extra(field: Field, values: list[Field]) -> bool:
    """Whether an unknown word stands for further options (`"$@"`, `--lr 1e-4 $EXTRA`) rather than for a value."""
    text = field.text
    return field.rest and (
        bool(values) or text.startswith(("$@", "$*", "${@", "${*")) or "[@]" in text or "[*]" in text
    )


def _entry(key: Field, values: list[Field]) -> Entry:
    bare = key.text.lstrip("-")
    at = key.at[len(key.text) - len(bare) : len(key.text)]
    exact = bool(at) and at[-1] - at[0] == len(at) - 1
    name = Scalar(bare, Span(at[0], at[-1] + 1) if exact else key.span, shared=key.shared)
    value: Node
    if not values:
        value = Scalar("True", Span(key.span.end, key.span.end), shared=key.shared)
    elif len(values) == 1:
        value = _scalar(values[0])
    else:
        items = tuple(_scalar(field) for field in values)
        start, end = min(item.span.start for item in items), max(item.span.end for item in items)
        value = Sequence(items, Span(start, end), shared=any(item.shared for item in items))
    return Entry(name, value)


def _scalar(field: Field) -> Scalar:
    return Scalar(field.text, field.span, field.style, None, field.shared)
