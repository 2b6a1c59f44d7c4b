"""Values written in many styles: YAML, JSON and TOML as people write them, with comments where the syntax has any."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

names = st.text("abcdefgxyz_", min_size=1, max_size=6).filter(
    lambda name: name not in ("y", "n", "no", "yes", "on", "off", "null", "true", "false")
)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.integers(-999, 999), st.booleans(), st.text("abc é:#-'\"", min_size=1, max_size=6)
)
sections: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(names, scalars | st.lists(scalars, max_size=3), min_size=1, max_size=4),
    lambda inner: st.dictionaries(
        names, inner | scalars | st.lists(inner, min_size=1, max_size=2), min_size=1, max_size=4
    ),
    max_leaves=8,
)
COMMENTS = ("", "", "", "  # why: {not} [a] 'key'", " #é")


def yaml_text(data: dict[str, Any], draw: Any) -> str:
    """A block-style document, with inner parts in flow style here and there."""
    step, dash = draw(st.sampled_from(((2, 0), (2, 2), (4, 2), (3, 1))))
    lines: list[str] = []

    def comment() -> str:
        return str(draw(st.sampled_from(COMMENTS)))

    def gap(indent: int) -> None:
        kind = draw(st.sampled_from("______bc"))
        if kind != "_":
            lines.append("" if kind == "b" else " " * indent + "# between: these")

    def entries(section: dict[str, Any], indent: int, lead: str = "") -> None:
        for number, (key, value) in enumerate(section.items()):
            before = lead if number == 0 and lead else " " * indent
            if number or not lead:
                gap(indent)
            entry(before + (draw(st.sampled_from((key, key, f'"{key}"')))), value, indent)

    def entry(head: str, value: Any, indent: int) -> None:
        flow = draw(st.integers(0, 3)) == 0
        if isinstance(value, dict) and value and not flow:
            lines.append(f"{head}:{comment()}")
            entries(value, indent + step)
        elif isinstance(value, list) and value and not flow:
            lines.append(f"{head}:{comment()}")
            for item in value:
                if isinstance(item, dict):
                    entries(item, indent + dash + 2, " " * (indent + dash) + "- ")
                else:
                    lines.append(f"{' ' * (indent + dash)}- {json.dumps(item, ensure_ascii=False)}{comment()}")
        elif isinstance(value, str) and draw(st.integers(0, 3)) == 0 and value.strip() == value:
            mark = draw(st.sampled_from(("|-", ">-")))
            lines.extend((f"{head}: {mark}", " " * (indent + step) + value))
        else:
            lines.append(f"{head}: {json.dumps(value, ensure_ascii=False)}{comment()}")

    if draw(st.booleans()):
        lines.append("---")
    entries(data, 0)
    if draw(st.booleans()):
        lines.append("# the end")
    return "\n".join(lines) + ("\n" if draw(st.booleans()) else "")


def json_text(data: dict[str, Any], draw: Any) -> str:
    """JSON on one line or indented by two, four or a tab."""
    indent = draw(st.sampled_from((None, 1, 2, 4, "\t")))
    return json.dumps(data, indent=indent, ensure_ascii=draw(st.booleans())) + ("\n" if draw(st.booleans()) else "")


def toml_text(data: dict[str, Any], draw: Any) -> str:
    """Tables with headers, dotted keys or in line."""
    lines: list[str] = []

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value, ensure_ascii=False)

    def table(section: dict[str, Any], path: tuple[str, ...]) -> None:
        later: list[tuple[str, Any]] = []
        for key, value in section.items():
            tables = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            if (isinstance(value, dict) or tables) and draw(st.integers(0, 2)):
                later.append((key, value))
            else:
                lines.append(f"{key} = {inline(value)}{draw(st.sampled_from(COMMENTS))}")
        for key, value in later:
            here = (*path, key)
            for item in value if isinstance(value, list) else (value,):
                header = f"[[{'.'.join(here)}]]" if isinstance(value, list) else f"[{'.'.join(here)}]"
                lines.extend(("", header) if draw(st.booleans()) else (header,))
                table(item, here)

    table(data, ())
    return "\n".join(lines) + ("\n" if draw(st.booleans()) else "")
