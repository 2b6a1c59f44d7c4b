"""How a value is written in each syntax, after the example of what stood there before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from loraplan.document import Syntax
from loraplan.document.layout import Written

_PLAIN_YAML = re.compile(r"(?:\.{0,2}/)?[A-Za-z_][\w./+-]*\Z")
_NOT_TEXT = frozenset("true false yes no on off null y n".split())
_PLAIN_SHELL = re.compile(r"[\w@%+=:,./-]+\Z")
_BOOLS = (("True", "False"), ("true", "false"), ("TRUE", "FALSE"), ("yes", "no"), ("Yes", "No"), ("on", "off"))
_DTYPES = (
    ("bfloat16", "float16", "float32"),
    ("torch.bfloat16", "torch.float16", "torch.float32"),
    ("bf16", "fp16", "fp32"),
)


def spellings(value: Any, syntax: Syntax, old: str = "") -> Iterator[str]:
    """Source texts for a value, the one most like `old` first; `old` is the source text that it takes the place of."""
    bare = old.strip().strip("'\"")
    if isinstance(value, bool):
        for yes, no in _BOOLS:
            if bare in (yes, no) and (syntax == "yaml" or (syntax == "shell" and yes.lower() == "true")):
                yield yes if value else no
        yield str(value) if syntax in ("python", "shell") else str(value).lower()
        return
    if isinstance(value, int | float):
        yield from numbers(value, bare)
        return
    if isinstance(value, str):
        if syntax == "python" and old.startswith("torch.") and not old.startswith(("'", '"')):
            yield from ("torch." + name for name in _DTYPES[0] if name == value)
            return
        for family in _DTYPES:
            if bare in family and value in _DTYPES[0]:
                yield text(family[_DTYPES[0].index(value)], syntax, old)
                break
        yield text(value, syntax, old)
        return
    yield compound(value, syntax, old)


def written_as(value: Any, syntax: Syntax, like: str = "") -> Iterator[Written]:
    """A value for a new key: scalars in every spelling, the parts of lists and mappings in the first."""
    if isinstance(value, tuple | list) and syntax != "shell":
        yield tuple(next(written_as(item, syntax, like)) for item in value)
    elif isinstance(value, dict) and syntax != "shell":
        yield {str(key): next(written_as(item, syntax, like)) for key, item in value.items()}
    else:
        yield from spellings(value, syntax, like)


def numbers(value: float, old: str = "") -> Iterator[str]:
    """A number in the old one's notation where that is sure to be read as a number, YAML 1.1 included."""
    if not isfinite(value):
        return
    if isinstance(value, int) or (value.is_integer() and abs(value) < 10**15):
        whole = str(int(value))
        if isinstance(value, float) and (old == whole or old.endswith(".0") or (value == 0 and "." in old)):
            yield whole + ".0"
        yield whole
        return
    if "e" in old.lower():
        yield _scientific(value)
    plain = f"{value:.12f}".rstrip("0")
    if float(plain) == value and len(plain) <= 9:
        yield plain
    else:
        yield _scientific(value)
        if float(plain) == value:
            yield plain


def _scientific(value: float) -> str:
    """`2.0e-4`: with a point and a sign, which YAML 1.1 asks for."""
    written = next(text for digits in range(1, 18) if float(text := f"{value:.{digits}e}") == value)
    mantissa, _, exponent = written.partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def text(value: str, syntax: Syntax, old: str = "") -> str:
    """A string in the quotes of the old value, plain where that was plain and the syntax allows it."""
    quote = old[:1] if old[:1] in ("'", '"') else ""
    single = "'" not in value and "\\" not in value and value.isprintable()
    if syntax == "python":
        return f"'{value}'" if quote == "'" and single else json.dumps(value, ensure_ascii=False)
    if syntax == "toml":
        return f"'{value}'" if quote == "'" and single else json.dumps(value, ensure_ascii=False)
    if syntax == "json":
        return json.dumps(value, ensure_ascii=False)
    if syntax == "shell":
        if not quote and _PLAIN_SHELL.match(value):
            return value
        if quote == '"' and not re.search(r"[\"\\$`!]", value):
            return f'"{value}"'
        return "'" + value.replace("'", "'\\''") + "'"
    if not quote and _PLAIN_YAML.match(value) and value.lower() not in _NOT_TEXT:
        return value
    if quote == '"' or not value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    return "'" + value.replace("'", "''") + "'"


def compound(value: Any, syntax: Syntax, old: str = "") -> str:
    """A list or mapping on one line; in a shell, words."""
    found = re.search(r"['\"]", old)
    like = found[0] if found else ""
    if isinstance(value, tuple | list):
        items = [next(spellings(item, syntax, like)) for item in value]
        if syntax == "shell":
            return ("," if "," in old else " ").join(items)
        return f"[{', '.join(items)}]"
    pairs = []
    for key, item in value.items():
        name = text(str(key), syntax, like)
        pairs.append(f"{name}{' = ' if syntax == 'toml' else ': '}{next(spellings(item, syntax, like))}")
    if syntax == "shell":
        raise ValueError("a mapping is no option of a command")
    return f"{{{', '.join(pairs)}}}"
