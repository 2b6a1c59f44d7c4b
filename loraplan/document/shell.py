"""Launch scripts: every command with options becomes a mapping, with tree-sitter's bash grammar; nothing is run.

`call` is the training program with the words before its first option (`swift sft`, `torchrun train.py`); what a
launcher (deepspeed, torchrun, accelerate, srun, ray) was given, and variables set for the command, stand under the
entry `launcher`. Option names lose their dashes in front and keep those within.
"""

from __future__ import annotations

import re

import tree_sitter
import tree_sitter_bash

from loraplan.document import Document, DocumentError, Mapping, Span
from loraplan.document.offsets import character_offsets, encode
from loraplan.document.shell_command import SHELLS, command
from loraplan.document.shell_words import Expander, Field, Scope, Value, clean, unknown

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())
_MAX_CHARS = 1 << 18
_TOO_MANY = (("|", 1000), ("=(", 1000), ("<<", 1000), ("${", 5000))
"""Where the grammar needs time or memory that grows with the square of their number."""
_MAX_DEPTH = 200
_MAX_WORDS = 10_000
_MAX_ALL_WORDS = 100_000
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_OPTION = re.compile(r"--?[A-Za-z_][\w.-]*=")
_BRANCHING = frozenset(
    "if_statement case_statement while_statement for_statement c_style_for_statement function_definition subshell"
    " list".split()
)
_NEXT_BRANCH = frozenset(("elif_clause", "else_clause", "case_item"))
_OPAQUE = frozenset("command_substitution process_substitution test_command arithmetic_expansion heredoc_body".split())
_NOT_WORDS = frozenset("heredoc_redirect herestring_redirect file_redirect variable_assignment comment ERROR".split())
_EXPORTED = ("NPROC_PER_NODE", "NNODES", "CUDA_VISIBLE_DEVICES")
_CONFLICT = Field("", (), Span(0, 0), "expression")
"""A variable to which branches give different values."""


def parse(text: str, path: str) -> Document:
    """The commands with options of a script, in the order in which they are written."""
    if "\0" in text:
        raise DocumentError(path, "the file has null bytes, so it is no shell script", "check what file it is")
    if len(text) > _MAX_CHARS:
        raise DocumentError(path, f"the script is larger than {_MAX_CHARS >> 10} KiB", "check the part that trains")
    for token, most in _TOO_MANY:
        if text.count(token) > most:
            raise DocumentError(path, f"the script has more than {most} `{token}`", "check the part that trains")
    # a script saved with CRLF: its continuations are meant as such
    clean = text.replace("\\\r\n", " \\\n").replace("\r", " ") if "\r" in text else text
    reader = _Reader(clean, path)
    reader.read(0, len(text), 0)
    comments = tuple(sorted(reader.comments))
    document = Document(path, "shell", text, tuple(reader.commands), comments=comments)
    if reader.error is not None and not reader.commands:
        where = document.position(min(reader.error, len(text)))
        raise DocumentError(path, "the shell syntax is broken here", "check the quotes and brackets before it", where)
    return document


class _Branches:
    """The values that variables had before a branching, and what each branch made of them."""

    def __init__(self) -> None:
        self.before: dict[str, Value] = {}
        self.finished: list[dict[str, Value]] = []
        self.current: set[str] = set()
        self.exhaustive = False


class _Reader:
    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.scope: Scope = {}
        self.exported: set[str] = set()
        self.commands: list[Mapping] = []
        self.comments: list[tuple[Span, str]] = []
        self.error: int | None = None
        self.words = 0
        self.branches: list[_Branches] = []
        self.expander = Expander(text, self.scope)

    def read(self, start: int, end: int, level: int) -> None:
        """The commands in [start, end), which is the whole file or a script within it."""
        piece = self.text[start:end]
        encode(piece, self.path, "shell")
        # The grammar's scanner (0.25.1) reads outside its memory at a non-ASCII character behind a brace
        # (tree-sitter-bash#337): it sees a word character of the shell instead, which also keeps the offsets.
        data = _NOT_ASCII.sub("\x7f", piece).encode()
        place = _Places(start, piece, data)
        tree = tree_sitter.Parser(_LANGUAGE).parse(data)
        extra: dict[int, list[tree_sitter.Node]] = {}  # words behind a redirection, by their command's start
        stack: list[tuple[tree_sitter.Node | None, int]] = [(tree.root_node, 0)]
        while stack:
            node, depth = stack.pop()
            if node is None:
                self._end_branching()
                continue
            kind = node.type
            if (kind == "ERROR" or node.is_missing) and self.error is None:
                self.error = place.span(node).start
            if kind == "comment":
                span = place.span(node)
                self.comments.append((span, self.text[span.start : span.end]))
                continue
            if kind in _OPAQUE or depth > _MAX_DEPTH:
                continue
            if kind == "command":
                self._command(node, place, extra.pop(node.start_byte, []), level)
                continue
            if kind in ("variable_assignment", "declaration_command", "unset_command"):
                self._assign(node, place)
                continue
            if kind == "redirected_statement":
                self._redirected(node, place, extra, level)
            if kind in _BRANCHING:
                self.branches.append(_Branches())
                stack.append((None, depth))
            elif kind in _NEXT_BRANCH:
                self._next_branch(kind == "else_clause")
            if kind == "for_statement":
                self._loop_variable(node, place)
            stack.extend((child, depth + 1) for child in reversed(node.children))

    # -- variables

    def _set(self, name: str, value: Value) -> None:
        for frame in self.branches[-1:]:
            if name not in frame.current:
                frame.before.setdefault(name, self.scope.get(name))
                frame.current.add(name)
        self.scope[name] = value

    def _next_branch(self, last: bool) -> None:
        if not self.branches:
            return
        frame = self.branches[-1]
        frame.finished.append({name: self.scope.get(name) for name in frame.current})
        for name in frame.current:
            self._restore(name, frame.before[name])
        frame.current = set()
        frame.exhaustive = last

    def _restore(self, name: str, value: Value) -> None:
        if value is None:
            self.scope.pop(name, None)
        else:
            self.scope[name] = value

    def _end_branching(self) -> None:
        self._next_branch(self.branches[-1].exhaustive)
        frame = self.branches.pop()
        for name, before in frame.before.items():
            values = [branch[name] for branch in frame.finished if name in branch]
            if before is not None and not (frame.exhaustive and len(values) == len(frame.finished)):
                values.append(before)
            known = [value for value in values if not unknown(value)]
            chosen: Value = known[0] if known else _CONFLICT
            if any(_texts(value) != _texts(chosen) for value in known):
                # options added under a condition: what is sure is the list before
                chosen = before if isinstance(before, list) else _CONFLICT
            self._set(name, chosen)

    def _assign(self, node: tree_sitter.Node, place: _Places) -> None:
        exporting = node.type == "declaration_command" and node.children[:1] and node.children[0].type == "export"
        for child in [node] if node.type == "variable_assignment" else node.children:
            if child.type == "variable_name":
                name = self._text(place.span(child))
                if node.type == "unset_command":
                    self._set(name, None)
                elif exporting:
                    self.exported.add(name)
            elif child.type == "variable_assignment":
                name = self._assignment(child, place)
                if exporting:
                    self.exported.add(name)

    def _assignment(self, node: tree_sitter.Node, place: _Places) -> str:
        target, value = node.children[0], node.children[2] if node.child_count > 2 else None
        name = self._text(place.span(target))
        if target.type != "variable_name":
            self._set(name.partition("[")[0], _CONFLICT)
            return name
        new: Value
        if value is not None and value.type == "array":
            inner = [place.span(child) for child in value.children if child.type == "comment"]
            self.comments += [(span, self._text(span)) for span in inner]
            new = self._words([child for child in value.children if child.is_named and child.type != "comment"], place)
        else:
            end = place.span(node).end
            start = place.span(node.children[1]).end if node.child_count > 1 else end
            new = self.expander.fields(start, end, split=False)[0]
        if node.child_count > 1 and node.children[1].type == "+=":
            new = _appended(self.scope.get(name), new)
        self._set(name, new)
        return name

    def _loop_variable(self, node: tree_sitter.Node, place: _Places) -> None:
        names = [child for child in node.children if child.type == "variable_name"]
        values = [child for child in node.children if child.start_byte > names[0].end_byte] if names else []
        words = [child for child in values if child.is_named and child.type not in ("do_group", "comment")]
        if names:
            fields = self._words(words, place)
            self._set(self._text(place.span(names[0])), fields[0] if len(fields) == 1 else _CONFLICT)

    # -- commands

    def _words(self, nodes: list[tree_sitter.Node], place: _Places) -> list[Field]:
        """The words after expansion; `--key=value` becomes a key and a joined value."""
        spans: list[Span] = []
        for node in nodes:
            span = place.span(node)
            if span.start == span.end:
                continue  # a word that the parser missed
            if spans and spans[-1].end == span.start:
                spans[-1] = Span(spans[-1].start, span.end)
            else:
                spans.append(span)
        fields: list[Field] = []
        for span in spans:
            option = _OPTION.match(self.text, span.start, span.end)
            if option is None:
                fields += self.expander.fields(span.start, span.end)
            else:
                key = Span(span.start, option.end() - 1)
                fields.append(Field(self._text(key), tuple(range(*key)), key))
                values = self.expander.fields(option.end(), span.end) if option.end() < span.end else []
                first = values[0] if values else Field("", (), Span(span.end, span.end))
                fields += [first._replace(joined=True, rest=False), *values[1:]]
            if len(fields) > _MAX_WORDS:
                break
        self.words += len(fields)
        if self.words > _MAX_ALL_WORDS:
            message = f"its commands come to more than {_MAX_ALL_WORDS:,} words"
            raise DocumentError(self.path, message, "check the part that trains")
        return [clean(field) for field in fields]

    def _command(self, node: tree_sitter.Node, place: _Places, extra: list[tree_sitter.Node], level: int) -> None:
        words = [child for child in node.children if child.type not in _NOT_WORDS] + extra
        fields = self._words(words, place)
        if not fields:
            return
        settings = [child for child in node.children if child.type == "variable_assignment"]
        before: list[tuple[Span, Field]] = []
        for setting in settings:
            if setting.child_count > 1 and setting.children[0].type == "variable_name":
                end = place.span(setting).end
                value = self.expander.fields(place.span(setting.children[1]).end, end, split=False)[0]
                before.append((place.span(setting.children[0]), clean(value)))
        exported = [
            (name, clean(held))
            for name in _EXPORTED
            if name in self.exported and isinstance(held := self.scope.get(name), Field)
        ]
        named = [(name, Span(value.span.start, value.span.start), value) for name, value in exported]
        named += [(self._text(span), span, value) for span, value in before]
        last = place.span(extra[-1]).end if extra else place.span(node).end
        root = command(self.text, fields, named, Span(place.span(node).start, last))
        if root is not None:
            self.commands.append(root)
        for index, field in enumerate(fields[:-1]):
            if field.text in ("-c", "-lc") and index and fields[index - 1].text.rpartition("/")[2] in SHELLS:
                inner = fields[index + 1]
                if inner.span.end - inner.span.start > 2 and not inner.shared and level < 2:
                    self.read(inner.span.start + 1, inner.span.end - 1, level + 1)

    def _redirected(
        self, node: tree_sitter.Node, place: _Places, extra: dict[int, list[tree_sitter.Node]], level: int
    ) -> None:
        """Words that stand behind a redirection, and scripts in a here-document for another shell."""
        body = node.children[0]
        for redirect in node.children[1:]:
            if redirect.type == "file_redirect":
                targets = [child for child in redirect.children if child.is_named and child.type != "file_descriptor"]
                extra.setdefault(body.start_byte, []).extend(targets[1:])
            elif redirect.type == "heredoc_redirect" and level < 2:
                inner = next((child for child in redirect.children if child.type == "heredoc_body"), None)
                if inner is None or body.type != "command":
                    continue
                span = place.span(inner)
                first = self.text[span.start : span.end].lstrip().partition("\n")[0]
                words = self._text(place.span(body)).split()
                program = words[0].rpartition("/")[2] if words else ""
                if program == "read":
                    self._set(words[-1], self.expander.heredoc(span.start, span.end))
                elif program in SHELLS or (first.startswith("#!") and first.rstrip().endswith("sh")):
                    self.read(span.start, span.end, level + 1)

    def _text(self, span: Span) -> str:
        return self.text[span.start : span.end]


class _Places:
    """Byte offsets of a piece of the text as character offsets of the whole."""

    def __init__(self, base: int, piece: str, data: bytes) -> None:
        self.base = base
        self.character = character_offsets(piece, data)

    def span(self, node: tree_sitter.Node) -> Span:
        return Span(self.base + self.character(node.start_byte), self.base + self.character(node.end_byte))


def _texts(value: Value) -> list[str] | str | None:
    return [field.text for field in value] if isinstance(value, list) else value.text if value is not None else None


def _appended(old: Value, new: Value) -> Value:
    if isinstance(new, list):
        return (old if isinstance(old, list) else [old] if old is not None else []) + new
    if not isinstance(old, Field) or not isinstance(new, Field) or "expression" in (old.style, new.style):
        return new if old is None else old
    if len(old.text) + len(new.text) > 50_000:
        return old
    return Field(old.text + new.text, old.at + new.at, new.span, "plain", True)
