"""The rule packages' tables: which codes there are, what a selector means, and loading a rule's module."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from loraplan.rule import Rule

OWN = "loraplan.suppression"
"""The engine's own codes, about suppression comments: selectable like rules, but not run on Plans."""


class UnknownSelector(LookupError):
    """A selector that names no rule: `suggestion` is the nearest that does."""

    def __init__(self, selector: str, suggestion: str | None) -> None:
        super().__init__(selector)
        self.selector = selector
        self.suggestion = suggestion

    def __str__(self) -> str:
        hint = f"; did you mean `{self.suggestion}`?" if self.suggestion else "; `loraplan rules` lists them all"
        return f"no rule has the code, prefix or name `{self.selector}`{hint}"


class BadPackage(Exception):
    """A rule package that cannot be imported or has no usable `CODES` table."""


class Registry:
    """The rules of some packages by code. Tables are read at once, a rule's module only when it is asked for."""

    def __init__(self, packages: Iterable[str], directory: str | None = None) -> None:
        self._modules: dict[str, str] = {}
        self._loaded: dict[str, Rule] = {}
        self._preview: dict[str, bool] = {}
        self.when: dict[str, tuple[str, ...]] = {}
        """Code -> conditions without which a rule need not be loaded; from a package's `WHEN`, if it has one."""
        for package in (*packages, OWN):
            try:
                found = import_module(package)
                table = found.CODES
            except (ImportError, AttributeError) as error:
                raise BadPackage(f"rule package `{package}`: {error}") from error
            for code, module in table.items():
                if not module:  # retired
                    continue
                if code in self._modules:
                    raise BadPackage(f"rule package `{package}` redefines {code}")
                self._modules[code] = f"{package}.{module}"
            if (preview := getattr(found, "PREVIEW", None)) is not None:
                self._preview.update((code, code in preview) for code in table)
            self.when.update(getattr(found, "WHEN", {}))
        if directory is not None:
            self._add_files(directory)
        self.codes: tuple[str, ...] = tuple(sorted(self._modules))
        self.names: dict[str, str] = {self.name(code): code for code in self.codes}

    def _add_files(self, directory: str) -> None:
        """The rules of a folder: every file not beginning with an underscore, imported to learn its code."""
        import os
        from hashlib import sha256

        base = f"loraplan_rules_dir_{sha256(os.fsencode(directory)).hexdigest()[:12]}"
        for file in sorted(os.listdir(directory)):
            if not file.endswith(".py") or file.startswith("_"):
                continue
            path, name = os.path.join(directory, file), f"{base}.{file[:-3]}"
            spec = spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except Exception as error:
                raise BadPackage(f"rule file `{path}`: {type(error).__name__}: {error}") from error
            rule = getattr(module, "check", None)
            if not isinstance(rule, Rule):
                raise BadPackage(f"rule file `{path}`: its `check` is no rule")
            if rule.code in self._modules:
                raise BadPackage(f"rule file `{path}` redefines {rule.code}")
            sys.modules[name] = module
            self._modules[rule.code] = name
            self._loaded[rule.code] = rule

    def name(self, code: str) -> str:
        """A rule's name, which is its module's name with dashes."""
        return self._modules[code].rpartition(".")[2].replace("_", "-")

    def module(self, code: str) -> str:
        """The full name of a rule's module."""
        return self._modules[code]

    def is_own(self, code: str) -> bool:
        """Whether a code is the engine's, not a rule on Plans."""
        return self._modules[code].startswith(OWN + ".")

    def load(self, code: str) -> Rule:
        """The rule of a code, imported on first use."""
        if code not in self._loaded:
            rule = _module(self._modules[code]).check
            assert isinstance(rule, Rule), f"{self._modules[code]}.check is no rule"
            self._loaded[code] = rule
        return self._loaded[code]

    def is_preview(self, code: str) -> bool:
        """Whether a rule is a preview rule, by its package's `PREVIEW` where there is one."""
        if code not in self._preview:
            self._preview[code] = self.load(code).preview
        return self._preview[code]

    def page(self, code: str) -> str:
        """A rule's documentation: the docstring of its module."""
        return import_module(self._modules[code]).__doc__ or ""

    def find(self, text: str) -> str:
        """The code that a code or name means, in any case."""
        code = self._exact(text)
        if code is None:
            raise UnknownSelector(text, self._nearest(text, (*self.codes, *self.names)))
        return code

    def codes_of(self, selector: str) -> tuple[frozenset[str], int]:
        """The codes that a selector means, and how specific it is: `ALL` 0, a prefix its length, a rule 1000."""
        upper = selector.upper()
        if upper == "ALL":
            return frozenset(self.codes), 0
        if (code := self._exact(selector)) is not None:
            return frozenset((code,)), 1000
        codes = frozenset(code for code in self.codes if upper and code.startswith(upper))
        if not codes:
            prefixes = {code.rstrip("0123456789") for code in self.codes}
            raise UnknownSelector(selector, self._nearest(selector, (*self.codes, *self.names, *prefixes)))
        return codes, len(upper)

    def _exact(self, text: str) -> str | None:
        if text.upper() in self._modules:
            return text.upper()
        return self.names.get(text.lower().replace("_", "-"))

    @staticmethod
    def _nearest(text: str, words: Iterable[str]) -> str | None:
        from difflib import get_close_matches

        known = {word.lower(): word for word in words}
        close = get_close_matches(text.lower(), known, n=1, cutoff=0.6)
        return known[close[0]] if close else None


def _module(name: str) -> Any:
    """A rule's module. Asking every finder where each of some fifty files is would be a third of loading them."""
    if (module := sys.modules.get(name)) is not None:
        return module
    top, _, rest = name.partition(".")
    folder = next(iter(getattr(sys.modules.get(top), "__path__", ())), "")
    spec = spec_from_file_location(name, f"{folder}/{rest.replace('.', '/')}.py") if folder else None
    if spec is None or spec.loader is None:
        return import_module(name)
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:  # in an archive, or compiled only
        del sys.modules[name]
        return import_module(name)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class Selection:
    """Which codes are on: every rule but the preview ones, as changed by the settings and then the command line."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._on: dict[str, int] = dict.fromkeys(registry.codes, 0)
        self._off: dict[str, int] = {}

    def apply(self, select: Iterable[str] | None, extend: Iterable[str] = (), ignore: Iterable[str] = ()) -> None:
        """One layer: `select` replaces what was on; the more specific selector wins, `ignore` where both are equal.

        A later layer's `select` also outweighs an earlier layer's `ignore` of the same or a lesser specificity.
        """
        if select is not None:
            self._on = {}
        for selector in (*(select or ()), *extend):
            codes, weight = self.registry.codes_of(selector)
            for code in codes:
                self._on[code] = max(weight, self._on.get(code, 0))
                if self._off.get(code, -1) <= weight:
                    self._off.pop(code, None)
        for selector in ignore:
            codes, weight = self.registry.codes_of(selector)
            for code in codes:
                self._off[code] = max(weight, self._off.get(code, 0))

    def drop(self, ignore: Iterable[str]) -> None:
        """Switch codes off whatever selected them (`per-file-ignores`)."""
        for selector in ignore:
            for code in self.registry.codes_of(selector)[0]:
                self._on.pop(code, None)

    def codes(self) -> list[str]:
        """The codes that are on, preview rules not yet left out."""
        return [code for code in self.registry.codes if code in self._on and self._off.get(code, -1) < self._on[code]]

    def named(self, code: str) -> bool:
        """Whether a rule was selected by its own code or name, which turns it on although it is a preview rule."""
        return self._on.get(code, 0) >= 1000
