"""Python scripts and configs through `ast`: never imported, never run.

The one root is a mapping whose entries are the simple assignments of modules and functions (name -> node) and all
other calls (key ""), in source order. A call is a mapping with `call` set; names given once, constant arithmetic and
known `**kwargs` are resolved. Everything else is a scalar of style "expression".
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable

from loraplan.document import Document, DocumentError, Entry, Mapping, Position, Scalar, Span
from loraplan.document.offsets import character_offsets
from loraplan.document.python_values import Values

_MAX_CHARS = 1 << 19
_NEWLINE = re.compile(r"\r\n|\r|\n")
_REMEDY = "mend the syntax; a notebook must be exported to Python first"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def parse(text: str, path: str) -> Document:
    """The assignments and calls of a Python file."""
    if "\0" in text:
        raise DocumentError(path, "the file has null bytes, so it is no Python source", "check what file it is")
    if len(text) > _MAX_CHARS:
        raise DocumentError(path, f"the file is larger than {_MAX_CHARS >> 10} KiB", "check the part that trains")
    clean = text.removeprefix("\ufeff")
    shift = len(text) - len(clean)
    tree, source = _tree(clean, path)
    places = Places(source, shift)
    try:
        entries = _Script(places).read(tree)
    except RecursionError:
        raise DocumentError(path, "the code is nested too deeply to read", "flatten the nested expression") from None
    root = Mapping(tuple(entries), Span(0, len(text)))
    # Comments are looked for only where one may speak to this tool.
    return Document(path, "python", text, (root,), comments=_comments(source, shift) if "loraplan:" in text else ())


def comments(document: Document) -> tuple[tuple[Span, str], ...]:
    """Every comment of a file that `parse` has read."""
    clean = document.text.removeprefix("\ufeff")
    return _comments(_tree(clean, document.path)[1], len(document.text) - len(clean))


def _tree(text: str, path: str) -> tuple[ast.Module, str]:
    """The syntax tree, and the text that it was made from, as long as `text`."""
    try:
        return _ast(text), text
    except SyntaxError as first:
        without = _without_magics(text)
        error = first
        if without != text:
            try:
                return _ast(without), without
            except SyntaxError as second:
                error = second
            except (RecursionError, MemoryError, ValueError):
                pass
        line, column = max(error.lineno or 1, 1), max(error.offset or 1, 1)
        message = f"Python cannot parse this ({error.msg})" if error.msg else "Python cannot parse this"
        raise DocumentError(path, message, _REMEDY, Position(line, column)) from None
    except (RecursionError, MemoryError):
        raise DocumentError(path, "the code is nested too deeply to read", "flatten the nested expression") from None
    except ValueError as error:
        raise DocumentError(path, f"Python cannot parse this ({error})", _REMEDY) from None


def _ast(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _without_magics(text: str) -> str:
    """The text with notebook lines (`!pip install`, `%%capture`) made into expressions of the same length."""
    parts: list[str] = []
    continued = False
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        bare = body.lstrip()
        if continued or bare[:1] in ("!", "%"):
            filler = " " if continued else body[: len(body) - len(bare)] + "0"
            parts.append(filler.ljust(len(body)) + line[len(body) :] if body else line)
            continued = body.endswith("\\")
        else:
            parts.append(line)
    return "".join(parts)


def _comments(source: str, shift: int) -> tuple[tuple[Span, str], ...]:
    import tokenize

    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    feed = iter([line + "\n" for line in lines])
    found: list[tuple[Span, str]] = []
    try:
        for token in tokenize.generate_tokens(lambda: next(feed, "")):
            if token.type == tokenize.COMMENT:
                start = starts[token.start[0] - 1] + token.start[1] + shift
                found.append((Span(start, start + len(token.string)), token.string))
    except (tokenize.TokenError, SyntaxError, IndexError):
        pass  # what was found so far stands
    return tuple(found)


class Places:
    """Line numbers and UTF-8 columns of `ast` as character offsets."""

    def __init__(self, text: str, shift: int) -> None:
        self.text = text
        self.shift = shift
        self.starts = [0, *(match.end() for match in _NEWLINE.finditer(text))]
        self.resolutions = 20_000
        """How many nodes names may still stand for, so that names of names of lists stay cheap."""
        self._columns: dict[int, tuple[int, Callable[[int], int]]] = {}

    def offset(self, line: int, column: int) -> int:
        if line not in self._columns:
            start = self.starts[min(line, len(self.starts)) - 1]
            end = self.starts[line] if line < len(self.starts) else len(self.text)
            piece = self.text[start:end]
            self._columns[line] = start + self.shift, character_offsets(piece, piece.encode("utf-8", "replace"))
        base, character = self._columns[line]
        return base + character(column)

    def span(self, node: ast.expr | ast.keyword) -> Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return Span(self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset))

    def source(self, span: Span) -> str:
        return self.text[span.start - self.shift : span.end - self.shift]


class _Script:
    def __init__(self, places: Places) -> None:
        self.places = places
        self.entries: list[Entry] = []

    def read(self, tree: ast.Module) -> list[Entry]:
        """The entries of a module: its own first-level statements and those within, in source order."""
        aliases = _aliases(tree)
        module = Names(tree.body, None)
        stack: list[tuple[ast.stmt | ast.excepthandler | ast.match_case, Names, bool]] = [
            (statement, module, False) for statement in reversed(tree.body)
        ]
        while stack:
            statement, names, in_class = stack.pop()
            if isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom):
                continue
            if isinstance(statement, ast.Expr | ast.Return) and isinstance(statement.value, ast.Constant | ast.Name):
                continue
            values = Values(self.places, names, aliases)
            inner = names
            if isinstance(statement, _FUNCTIONS):
                inner = Names(statement.body, module, statement.args)
            nested: list[tuple[ast.stmt | ast.excepthandler | ast.match_case, Names, bool]] = []
            below = not isinstance(statement, _FUNCTIONS) and (in_class or isinstance(statement, ast.ClassDef))
            expressions: list[ast.expr] = []
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                    nested.append((child, inner, below))
                elif isinstance(child, ast.expr):
                    expressions.append(child)
                elif isinstance(child, ast.withitem):
                    expressions.append(child.context_expr)
            stack.extend(reversed(nested))
            target = _target(statement)
            if target is not None and not in_class:
                value = statement.value  # type: ignore[union-attr]
                self.entries.append(Entry(Scalar(target.id, self.places.span(target)), values.node(value)))
            else:
                for expression in expressions:
                    values.collect(expression)
            self.entries += [Entry(Scalar("", Span(call.span.start, call.span.start)), call) for call in values.calls]
        return self.entries


def _target(statement: ast.AST) -> ast.Name | None:
    """The name that a simple assignment gives a value to."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.targets[0] if isinstance(statement.targets[0], ast.Name) else None
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return statement.target if isinstance(statement.target, ast.Name) else None
    return None


def _aliases(tree: ast.Module) -> dict[str, str]:
    """`from peft import LoraConfig as LC`: LC -> LoraConfig."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.update({item.asname: item.name for item in node.names if item.asname})
    return found


class Names:
    """What the names of one scope are bound to: the value of the only assignment, or of the last one before a use."""

    def __init__(self, body: list[ast.stmt], outer: Names | None, arguments: ast.arguments | None = None) -> None:
        self.outer = outer
        self.values: dict[str, list[tuple[int, ast.expr, bool]]] = {}
        self.unknown: set[str] = set()
        if arguments is not None:
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            self.unknown.update(argument.arg for argument in every if argument is not None)
        stack: list[tuple[ast.AST, bool]] = [(statement, True) for statement in reversed(body)]
        while stack:
            node, straight = stack.pop()
            target = _target(node)
            if target is not None:
                value = node.value  # type: ignore[attr-defined]
                self.values.setdefault(target.id, []).append((node.lineno, value, straight))  # type: ignore[attr-defined]
                stack.append((value, False))
                continue
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self.unknown.add(node.id)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                self.unknown.update(node.names)
            elif isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
                continue
            children = list(ast.iter_child_nodes(node))
            inside = straight and isinstance(node, ast.With | ast.Module)
            stack.extend((child, inside) for child in reversed(children))

    def find(self, name: str, line: int) -> ast.expr | None:
        """The value of a name used on a line, or None where that cannot be told."""
        if name in self.unknown:
            return None
        bound = self.values.get(name)
        if bound is None:
            return self.outer.only(name) if self.outer is not None else None
        if len(bound) == 1:
            return bound[0][1]
        if not all(straight for _, _, straight in bound):
            return None
        before = [value for at, value, _ in bound if at < line]
        return before[-1] if before else None

    def only(self, name: str) -> ast.expr | None:
        """The value of a name that has one assignment."""
        bound = self.values.get(name, [])
        return bound[0][1] if len(bound) == 1 and name not in self.unknown else None
