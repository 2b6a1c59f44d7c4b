"""What every format read from launch scripts needs: option names as argparse sees them, devices, config files."""

from __future__ import annotations

import re

from loraplan.document import Document, Entry, Mapping, Node, Scalar, Sequence
from loraplan.formats.table import Draft

_CONFIGS = (".yaml", ".yml", ".json", ".toml")
_DEEPEST = 6
_SWITCHES = frozenset("gradient_checkpointing packing bf16 fp16 use_peft use_lora lora_enable load_in_4bit".split())
_ZERO = re.compile(r"zero[-_]?(?:stage)?[-_]?([123])(?![0-9])", re.IGNORECASE)


def options(root: Node) -> Node:
    """The command with `-` in option names as `_`, and `--no_x` as the false value of `x`, as HfArgumentParser has."""
    if not isinstance(root, Mapping) or root.call is None:
        return root
    entries: list[Entry] = []
    for key, value in root.entries:
        name = key.text.replace("-", "_")
        entries.append(Entry(Scalar(name, key.span, key.style, key.tag, key.shared), value))
        if name[:3] == "no_" and name[3:] in _SWITCHES and isinstance(value, Scalar):
            entries.append(
                Entry(Scalar(name[3:], key.span, shared=key.shared), Scalar("False", value.span, shared=True))
            )
    return Mapping(tuple(entries), root.span, root.flow, root.shared, root.call)


def nested(root: Mapping) -> Mapping:
    """The command with dotted option names (`--ds.lora.rank`) as nested mappings."""
    entries: list[Entry] = []
    groups: dict[str, list[Entry]] = {}
    for entry in root.entries:
        head, dot, rest = entry.key.text.partition(".")
        if not dot or not head or not rest or rest.count(".") > _DEEPEST:
            entries.append(entry)
            continue
        key = Scalar(rest, entry.key.span, shared=entry.key.shared)
        groups.setdefault(head, []).append(Entry(key, entry.value))
    for head, inner in groups.items():
        holder = nested(Mapping(tuple(inner), root.span, call=root.call))
        entries.append(Entry(Scalar(head, inner[0].key.span), holder))
    return Mapping(tuple(entries), root.span, root.flow, root.shared, root.call)


def config_file(root: Node) -> str | None:
    """The config file that a command hands on to its program, which then is the file to check."""
    if not isinstance(root, Mapping) or root.call is None:
        return None
    words = [word for word in root.call.split(" ")[1:] if word.endswith(_CONFIGS)]
    for name in ("config", "config_file", "cfg", "config_path"):
        value = root.get(name)
        if isinstance(value, Scalar) and value.text.endswith(_CONFIGS):
            words.append(value.text)
    return words[0] if words else None


def first_config_file(document: Document) -> str | None:
    """The config file of the first command of a script that has one."""
    return next(filter(None, map(config_file, document.roots)), None)


def launch(draft: Draft) -> None:
    """`distributed.devices` and the strategy, as far as the launcher's options and variables tell."""
    launcher = draft.node("launcher")
    if not isinstance(launcher, Mapping) or "distributed.devices" in draft.values:
        return
    count = _processes(launcher)
    if count is not None:
        key, number = count
        nodes = next((launcher.get(name) for name in ("nnodes", "num_nodes", "NNODES") if name in launcher), None)
        factor = 1 if nodes is None else _integer(nodes)
        if factor is not None and key == "num_processes":
            factor = 1  # accelerate counts the processes of all machines
        if factor is not None and 0 < number * factor < 1 << 20:
            draft.set("distributed.devices", number * factor, f"launcher.{key}")
    file = launcher.get("config_file")
    if isinstance(file, Scalar) and "distributed.strategy" not in draft.values:
        stage = _ZERO.search(file.text.rpartition("/")[2])
        if stage:
            draft.set("distributed.deepspeed", file.text, "launcher.config_file")
            strategy = f"zero{stage[1]}"
            draft.derive("distributed.strategy", strategy, ("distributed.deepspeed",), "the accelerate config's name")


def _processes(launcher: Mapping) -> tuple[str, int] | None:
    for key in ("nproc_per_node", "nproc-per-node", "num_processes", "num_gpus", "NPROC_PER_NODE"):
        number = _integer(launcher.get(key))
        if number is not None:
            return key, number
    include = launcher.get("include")
    if isinstance(include, Scalar) and include.style != "expression" and "@" not in include.text:
        _, colon, slots = include.text.rpartition(":")
        if colon and re.fullmatch(r"[0-9]+(?:,[0-9]+)*", slots):
            return "include", slots.count(",") + 1
    return None


def _integer(node: Node | None) -> int | None:
    if isinstance(node, Scalar) and node.style != "expression" and node.text.isdecimal() and len(node.text) < 8:
        return int(node.text)
    return None


def words(node: Node | None) -> list[str]:
    """An option's values, one or several."""
    items = node.items if isinstance(node, Sequence) else (node,) if node is not None else ()
    return [item.text for item in items if isinstance(item, Scalar) and item.style != "expression"]
