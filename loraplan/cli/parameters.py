"""Parameter types that several commands share."""

from __future__ import annotations

from typing import Any

import click

from loraplan.formats import FORMATS


class _Codes(click.ParamType[tuple[str, ...]]):
    """Comma-separated selectors."""

    name = "codes"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "CODES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


class _Format(click.ParamType[str]):
    """A config format by name, with the nearest one suggested."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "FORMAT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in FORMATS:
            from difflib import get_close_matches

            close = get_close_matches(str(value), FORMATS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(FORMATS)}"
            self.fail(f"{value!r} is no config format; {hint}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in FORMATS if name.startswith(incomplete)]


class _Versions(click.ParamType[tuple[str, str]]):
    """`framework=version`."""

    name = "framework=version"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NAME=VERSION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, _, version = str(value).replace("==", "=").partition("=")
        if not name.strip() or not version.strip()[:1].isdigit():
            self.fail(f"expected a framework and its version such as transformers=4.57.1, found {value!r}", param, ctx)
        return name.strip().lower(), version.strip()


CODES = _Codes()
FORMAT = _Format()
VERSIONS = _Versions()
