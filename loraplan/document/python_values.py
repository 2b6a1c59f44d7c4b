"""Python expressions as nodes: literals, calls, dictionaries, names with one value, constant arithmetic."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loraplan.document import Entry, Mapping, Node, Scalar, Sequence, Span
from loraplan.document.offsets import printable

if TYPE_CHECKING:
    from loraplan.document.python import Names, Places

_MAX_DEPTH = 60
_MAX_TEXT = 400
_NUMBER = re.compile(r"-?[0-9._]+(?:[eE][-+]?[0-9]+)?\Z")
_DTYPES = {
    "half": "float16", "float": "float32", "double": "float64",
    "bfloat16": "bfloat16", "float16": "float16", "float32": "float32", "float64": "float64",
    "int8": "int8", "uint8": "uint8", "float8_e4m3fn": "float8_e4m3fn",
}  # fmt: skip
_ENUMS = frozenset(("TaskType", "IntervalStrategy", "SchedulerType", "OptimizerNames", "PeftType"))
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
Number = int | float


class Values:
    """Turns the expressions of one scope into nodes; calls found within other expressions gather in `calls`."""

    def __init__(self, places: Places, names: Names, aliases: dict[str, str]) -> None:
        self.places = places
        self.names = names
        self.aliases = aliases
        self.calls: list[Mapping] = []
        self._resolving: set[str] = set()

    def node(self, value: ast.expr, depth: int = 0) -> Node:
        """The node of an expression."""
        if depth > _MAX_DEPTH:
            return self._expression(value)
        match value:
            case ast.Constant():
                return self._constant(value)
            case ast.List() | ast.Tuple() | ast.Set():
                items = tuple(self.node(item, depth + 1) for item in value.elts)
                return Sequence(items, self.places.span(value), flow=True)
            case ast.Dict():
                return Mapping(tuple(self._dict(value, depth)), self.places.span(value), flow=True)
            case ast.Call():
                return self._call(value, depth)
            case ast.UnaryOp() | ast.BinOp():
                return self._arithmetic(value, depth)
            case ast.Name():
                return self._name(value, depth)
            case ast.Attribute():
                return self._attribute(value)
            case ast.Subscript():
                return self._subscript(value, depth)
        self.collect(value, depth)
        return self._expression(value)

    def collect(self, value: ast.AST, depth: int = 0) -> None:
        """Puts the outermost calls within an expression into `calls`."""
        stack: list[ast.AST] = [value]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Call):
                found = self._call(node, depth + 1)
                if isinstance(found, Mapping):
                    self.calls.append(found)
            elif isinstance(node, ast.Lambda | ast.expr | ast.comprehension | ast.keyword):
                stack.extend(reversed(list(ast.iter_child_nodes(node))))

    def _expression(self, value: ast.expr) -> Scalar:
        span = self.places.span(value)
        return Scalar(self.places.source(span)[:_MAX_TEXT], span, "expression")

    def _constant(self, value: ast.Constant) -> Scalar:
        span = self.places.span(value)
        match value.value:
            case bool() as flag:
                return Scalar(str(flag), span, tag="bool")
            case None:
                return Scalar("None", span, tag="null")
            case str() as text:
                return Scalar(printable(text), span, "quoted", "str")
            case int() | float() as number:
                return self._number(number, span, self.places.source(span))
        return self._expression(value)

    def _number(self, number: Number, span: Span, written: str | None, shared: bool = False) -> Scalar:
        tag = "int" if isinstance(number, int) else "float"
        if written is None or not _NUMBER.match(written):
            written = repr(number) if isinstance(number, float) or abs(number) < 1 << 64 else "0"
        return Scalar(written, span, tag=tag, shared=shared)

    def _dict(self, value: ast.Dict, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        for key, item in zip(value.keys, value.values, strict=True):
            if key is None:
                entries += self._unpacked(item, depth)
                continue
            span = self.places.span(key)
            name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
            text = printable(name) if name is not None else self.places.source(span)[:_MAX_TEXT]
            style: Any = "quoted" if name is not None else "expression"
            entries.append(Entry(Scalar(text, span, style), self.node(item, depth + 1)))
        return entries

    def _unpacked(self, value: ast.expr, depth: int) -> list[Entry]:
        """The entries of `**value`, where it is a dictionary that is known."""
        found = self.node(value, depth + 1)
        return list(found.entries) if isinstance(found, Mapping) and found.call is None else []

    def _call(self, value: ast.Call, depth: int) -> Node:
        name = self._dotted(value.func)
        span = self.places.span(value)
        if depth > _MAX_DEPTH:
            return Scalar(self.places.source(span)[:_MAX_TEXT], span, "expression")
        entries: list[Entry] = []
        if name is None:
            before = len(self.calls)
            self.collect(value.func, depth + 1)
            inner, self.calls = self.calls[before:], self.calls[:before]
            entries += [Entry(Scalar(".", Span(call.span.start, call.span.start)), call) for call in inner]
            name = value.func.attr if isinstance(value.func, ast.Attribute) else ""
        for index, argument in enumerate(value.args):
            start = self.places.span(argument).start
            entries.append(Entry(Scalar(str(index), Span(start, start)), self.node(argument, depth + 1)))
        for keyword in value.keywords:
            if keyword.arg is None:
                entries += self._unpacked(keyword.value, depth)
            else:
                start = self.places.offset(keyword.lineno, keyword.col_offset)
                key = Scalar(keyword.arg, Span(start, start + len(keyword.arg)))
                entries.append(Entry(key, self.node(keyword.value, depth + 1)))
        if name == "dict" and all(not entry.key.text.isdecimal() for entry in entries):
            return Mapping(tuple(entries), span)
        return Mapping(tuple(entries), span, call=name)

    def _dotted(self, value: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(value, ast.Attribute):
            parts.append(value.attr)
            value = value.value
        if not isinstance(value, ast.Name):
            return None
        parts.append(self.aliases.get(value.id, value.id))
        return ".".join(reversed(parts))

    def _arithmetic(self, value: ast.expr, depth: int) -> Node:
        span = self.places.span(value)
        found = self._compute(value, depth)
        if found is None:
            self.collect(value, depth)
            return self._expression(value)
        number, shared = found
        return self._number(number, span, self.places.source(span), shared)

    def _compute(self, value: ast.expr, depth: int) -> tuple[Number, bool] | None:
        """The number that constant arithmetic gives, and whether names took part."""
        if depth > _MAX_DEPTH:
            return None
        match value:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return (number, False) if _small(number) else None
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self._compute(operand, depth + 1)
                return None if inner is None else (-inner[0] if isinstance(sign, ast.USub) else inner[0], inner[1])
            case ast.BinOp(left=left, op=op, right=right):
                first, second = self._compute(left, depth + 1), self._compute(right, depth + 1)
                apply = _OPERATORS.get(type(op))
                if first is None or second is None or apply is None:
                    return None
                if isinstance(op, ast.Pow) and (abs(second[0]) > 64 or abs(first[0]) > 1e6):
                    return None
                try:
                    result = apply(first[0], second[0])
                except (ArithmeticError, ValueError, TypeError):
                    return None
                if isinstance(result, complex) or not _small(result):
                    return None
                return result, first[1] or second[1]
            case ast.Name(id=name, lineno=line):
                bound = self.names.find(name, line)
                if bound is None or name in self._resolving or self.places.resolutions <= 0:
                    return None
                self.places.resolutions -= 1
                self._resolving.add(name)
                inner = self._compute(bound, depth + 1)
                self._resolving.discard(name)
                return None if inner is None else (inner[0], True)
        return None

    def _name(self, value: ast.Name, depth: int) -> Node:
        bound = self.names.find(value.id, value.lineno)
        if bound is None or value.id in self._resolving or self.places.resolutions <= 0:
            return self._expression(value)
        if isinstance(bound, ast.Call) and self._dotted(bound.func) != "dict":
            return self._expression(value)
        self.places.resolutions -= 1
        self._resolving.add(value.id)
        calls = self.calls
        self.calls = []  # what the assignment holds is an entry of its own
        found = self.node(bound, depth + 1)
        self.calls = calls
        self._resolving.discard(value.id)
        if isinstance(found, Scalar) and found.style == "expression":
            return self._expression(value)
        return self._shared(found)

    def _shared(self, node: Node) -> Node:
        """A copy that says that its source serves other places too."""
        self.places.resolutions -= 1
        match node:
            case Scalar():
                return Scalar(node.text, node.span, node.style, node.tag, True)
            case Sequence():
                return Sequence(tuple(self._shared(item) for item in node.items), node.span, node.flow, True)
        entries = tuple(Entry(entry.key, self._shared(entry.value)) for entry in node.entries)
        return Mapping(entries, node.span, node.flow, True, node.call)

    def _attribute(self, value: ast.Attribute) -> Node:
        dotted = self._dotted(value) or ""
        owner, _, leaf = dotted.rpartition(".")
        span = self.places.span(value)
        if owner in ("torch", "th") and leaf in _DTYPES:
            return Scalar(_DTYPES[leaf], span, tag="str")
        if owner.rpartition(".")[2] in _ENUMS:
            return Scalar(leaf, span, tag="str")
        self.collect(value)
        return self._expression(value)

    def _subscript(self, value: ast.Subscript, depth: int) -> Node:
        """`config["lora_r"]` of a dictionary that is known."""
        if isinstance(value.slice, ast.Constant) and isinstance(value.slice.value, str):
            holder = self.node(value.value, depth + 1)
            if isinstance(holder, Mapping) and holder.call is None:
                found = holder.get(value.slice.value)
                if found is not None and not (isinstance(found, Scalar) and found.style == "expression"):
                    return found
            return self._expression(value)
        self.collect(value, depth)
        return self._expression(value)


def _small(number: Number) -> bool:
    return abs(number) < 1e300 if isinstance(number, int) else math.isfinite(number)
