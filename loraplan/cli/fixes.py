"""`check --fix` and `--diff`: what is written, and what is said of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import click

from loraplan.document import DocumentError
from loraplan.document.read import read_text
from loraplan.engine import Checker
from loraplan.failure import broken_fix, bug
from loraplan.fixing import Fixed, fix_text
from loraplan.fixing.files import CannotWriteError, write
from loraplan.result import Failure, FileResult
from loraplan.rule import Severity


@dataclass(slots=True)
class Fixer:
    """Fixes the files of one invocation and keeps count."""

    checker: Checker
    unsafe: bool
    diff: bool
    verbose: bool = False
    least: Severity = "warning"
    """The severity from which unsafe fixes are made."""
    fixed: int = 0
    would: bool = False
    notes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """What standard output gets: diffs, or the text of standard input."""

    def file(self, path: str, result: FileResult, format_name: str | None, stdin: str | None = None) -> FileResult:
        """The result of checking a file once what can be fixed is; its own result where nothing is."""
        fixable = any(item.fix is not None for item in result.diagnostics)
        try:
            if not fixable or result.failures:
                if stdin is not None and not self.diff:
                    self.texts.append(stdin)
                return result
            text = read_text(path) if stdin is None else stdin
            done = fix_text(self.checker, path, text, unsafe=self.unsafe, least=self.least, format_name=format_name)
        except DocumentError as error:
            self.notes.append(f"{path}: not fixed: {error.message}")
            return result
        except Exception as error:  # noqa: BLE001 - a broken fix must leave the file and the other files alone
            result.failures.append(bug(path, "fixing the file", error))
            return result
        if done is None:
            return result
        self._refused(path, done)
        for item, reason, _ in done.broken:
            title = item.fix.title if item.fix is not None else item.name
            result.failures.append(broken_fix(path, item.line, item.code, title, reason))
        if not done.changed:
            if stdin is not None and not self.diff:
                self.texts.append(stdin)
            return result
        if self.diff:
            self.would = True
            self.texts.append(difference(path, text, done.text))
            return result
        if stdin is not None:
            self.texts.append(done.text)
        else:
            try:
                write(path, text, done.text)
            except CannotWriteError as error:
                self.notes.append(f"{path}: not fixed: {error}")
                return result
        self.fixed += len(done.applied)
        if self.verbose:
            self.notes += [
                f"{path}:{item.line}: fixed {item.code}: {item.fix.title}" for item in done.applied if item.fix
            ]
        return done.result

    def stdin(self, name: str | None, format_name: str | None) -> FileResult:
        """Standard input, whose fixed text goes to standard output."""
        name = name or "<stdin>"
        try:
            text = read_text("-")
        except DocumentError as error:
            failure = Failure(name, "unreadable", error.message, error.remedy, error.position)
            return FileResult(name, failures=[failure])
        result = self.checker.check(name, text=text, format_name=format_name)
        assert result is not None
        return self.file(name, result, format_name, text)

    def _refused(self, path: str, done: Fixed) -> None:
        for item, reason, _ in done.refused:
            title = item.fix.title if item.fix is not None else item.name
            self.notes.append(f"{path}:{item.line}: {item.code}: not applied: {title} ({reason})")
        if done.passed_over:
            codes = ", ".join(sorted({item.code for item in done.passed_over}))
            why = f"below --fail-on {self.least}; --select names a rule to fix"
            self.notes.append(f"{path}: not applied: unsafe fixes of {codes} ({why})")

    def say(self, remaining: int, *, quiet: bool, out: bool) -> None:
        """Texts on standard output, the rest on standard error or, with `out`, behind the report."""
        for text in self.texts:
            sys.stdout.write(text)
        sys.stdout.flush()
        for note in self.notes:
            click.echo(note, err=True)
        if not quiet and not self.diff:
            click.echo(f"fixed {self.fixed}, {remaining} remaining", err=not out)
        elif not quiet and not self.would:
            click.echo("nothing to fix", err=True)


def difference(path: str, before: str, after: str) -> str:
    """A unified diff of two texts, which `patch` takes."""
    from difflib import unified_diff

    old, new = (_lines(text) for text in (before, after))
    name = path.replace("\\", "/").removeprefix("./").lstrip("/")
    lines = unified_diff(old, new, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])
