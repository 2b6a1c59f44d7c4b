"""The check: read a file, run the selected rules on every run it describes, place, silence and sort what they find."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from loraplan import suppression
from loraplan.context import Facts, Inputs
from loraplan.document import Document, DocumentError, Span, Syntax
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.record import record
from loraplan.result import Diagnostic, Failure, FileResult
from loraplan.rule import Finding
from loraplan.run import Selected, check_run, numbered, place, recognised, run_facts
from loraplan.select import BadPackage, Registry, Selection, UnknownSelector
from loraplan.settings import Finder, Settings, SettingsError, check_options
from loraplan.settings import read as read_settings


@record()
class Overrides:
    """What the command line says over the settings."""

    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    preview: bool = False
    settings: str | None = None
    """A settings file to use instead of the nearest."""
    isolated: bool = False
    """No settings file at all, and no versions from the surroundings."""


class _Profile(NamedTuple):
    """The rules to run under some settings, with their options."""

    settings: Settings
    registry: Registry
    rules: list[Selected]
    own: frozenset[str]
    """The engine's codes that are on."""
    preview: bool


class Checker:
    """Checks files one by one; settings, rules and tables are loaded once."""

    def __init__(self, inputs: Inputs | None = None, overrides: Overrides | None = None) -> None:
        self.inputs = inputs or Inputs()
        self.overrides = overrides or Overrides()
        self._finder = Finder()
        self._explicit: dict[str, Settings] = {}
        self._profiles: dict[tuple[str | None, tuple[str, ...]], _Profile] = {}
        self._registries: dict[tuple[str, ...], Registry] = {}

    def settings_for(self, path: str) -> Settings:
        """The settings that hold for a file or directory; raises SettingsError."""
        if self.overrides.isolated:
            return Settings()
        if self.overrides.settings is not None:
            if self.overrides.settings not in self._explicit:
                self._explicit[self.overrides.settings] = read_settings(self.overrides.settings) or Settings()
            return self._explicit[self.overrides.settings]
        return self._finder.of(path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)))

    def registry(self, settings: Settings) -> Registry:
        """The rules that the settings' packages and folder offer; raises SettingsError."""
        key = (*settings.packages, settings.rules_dir or "")
        if key not in self._registries:
            where = settings.path or "settings"
            if settings.rules_dir is not None and not _is_here(settings.directory):
                message = "its code runs only for a project that the working directory is in; --isolated leaves it out"
                raise SettingsError(where, "rules-dir", message)
            try:
                self._registries[key] = Registry(settings.packages, settings.rules_dir)
            except BadPackage as error:
                setting = "rules-dir" if str(error).startswith("rule file") else "rule-packages"
                raise SettingsError(where, setting, str(error)) from error
        return self._registries[key]

    def prepare(self, settings: Settings) -> None:
        """Load the selected rules and look up the inputs that are the same for all files; raises SettingsError."""
        self._profile(settings, "")
        gpu = self._inputs(settings).gpu
        if gpu is not None:
            from loraplan.devices import UnknownDevice, find

            try:
                find(gpu)
            except UnknownDevice as error:
                where = ("command line", "--gpu") if self.inputs.gpu else (settings.path or "settings", "gpu")
                raise SettingsError(*where, str(error)) from error

    def check_stdin(self, name: str | None, format_name: str | None = None) -> FileResult:
        """What comes from standard input; `name` stands for it in messages, and its extension gives the syntax."""
        from loraplan.document.read import read_text

        name = name or "<stdin>"
        try:
            text = read_text("-")
        except DocumentError as error:
            failure = Failure(name, "unreadable", error.message, error.remedy, error.position)
            return FileResult(name, failures=[failure])
        result = self.check(name, text=text, format_name=format_name)
        assert result is not None
        return result

    def check(
        self,
        path: str,
        *,
        text: str | None = None,
        syntax: Syntax | None = None,
        format_name: str | None = None,
        named: bool = True,
    ) -> FileResult | None:
        """One file's result; None for a file that is no training config and that nobody named."""
        result = FileResult(path)
        try:
            document, readings, versions, profile = self.read(path, text=text, syntax=syntax, format_name=format_name)
        except NotAConfig as error:
            if not named:
                return None
            result.failures.append(_not_a_config(error))
            return result
        except DocumentError as error:
            from loraplan.discover import is_template

            if not named and is_template(path):
                return None
            result.failures.append(Failure(path, "unreadable", error.message, error.remedy, error.position))
            return result
        except SettingsError as error:
            where = f"{error.key}: " if error.key else ""
            result.failures.append(Failure(error.path, "settings", where + error.message, ""))
            return result
        except (MemoryError, RecursionError) as error:
            message = f"too large or too deeply nested to check ({type(error).__name__})"
            result.failures.append(Failure(path, "unreadable", message, "check a smaller file"))
            return result
        except Exception as error:  # noqa: BLE001 - a broken reader must not take the other files with it
            from loraplan.failure import bug

            result.failures.append(bug(path, "reading the file", error))
            return result
        source = document.text
        result.read = lambda other: self.read(
            path, text=source if other is None else other, syntax=syntax, format_name=format_name
        )[1]
        found: dict[tuple[str, Span, str], Diagnostic] = {}
        ran: set[str] = set()
        for reading in readings:
            result.runs.append(recognised(reading))
            inputs = self._inputs(profile.settings)
            for diagnostic in check_run(reading, profile.rules, inputs, versions, profile.preview, ran, result):
                found.setdefault((diagnostic.code, diagnostic.span, diagnostic.message), diagnostic)
        ran -= {item.code for item in result.skipped}
        result.diagnostics = sorted(_silence(document, found.values(), profile, ran, result), key=lambda item: item[:7])
        return result

    def _inputs(self, settings: Settings) -> Inputs:
        """The command line's inputs, completed from the settings."""
        given, model = self.inputs, settings.model
        if model is not None and os.path.isdir(local := os.path.join(settings.directory, model)):
            model = local
        return Inputs(
            model=given.model,
            default_model=model,
            gpu=given.gpu or settings.gpu,
            dataset_size=given.dataset_size or settings.dataset_size,
            baseline=given.baseline,
            online=given.online,
        )

    def read(
        self,
        path: str,
        *,
        text: str | None = None,
        syntax: Syntax | None = None,
        format_name: str | None = None,
    ) -> tuple[Document, list[Reading], dict[str, str], _Profile]:
        """A file's document and runs, the framework versions that hold for it, and the rules to run."""
        from loraplan.document.read import read as read_document
        from loraplan.formats import read as read_runs

        settings = self.settings_for(path)
        profile = self._profile(settings, path)
        document = read_document(path, text, syntax)
        versions = self._versions(settings, path)
        return document, numbered(read_runs(document, format_name, versions)), versions, profile

    def facts(self, reading: Reading) -> Facts:
        """What a run's surroundings say, as rules see it."""
        path = reading.document.path
        settings = self.settings_for(path)
        return run_facts(reading, self._inputs(settings), self._versions(settings, path))

    def _versions(self, settings: Settings, path: str) -> dict[str, str]:
        """Framework versions: command line over settings over what stands beside the file."""
        versions = {**settings.versions, **dict(self.inputs.versions)}
        if self.overrides.isolated:
            return versions
        from loraplan.versions import beside

        return {**beside(os.path.dirname(os.path.abspath(path))), **versions}

    def _profile(self, settings: Settings, path: str) -> _Profile:
        """The selected rules, loaded; the same for all files under the same settings and per-file ignores."""
        per_file = settings.ignored_for(path)
        key = (settings.path, per_file)
        if key not in self._profiles:
            self._profiles[key] = self._select(settings, per_file)
        return self._profiles[key]

    def _select(self, settings: Settings, per_file: tuple[str, ...]) -> _Profile:
        registry = self.registry(settings)
        over = self.overrides
        preview = over.preview or settings.preview
        selection = Selection(registry)
        origin = settings.path or ""
        where = origin
        try:
            selection.apply(settings.select, settings.extend_select, settings.ignore)
            where = "command line"
            selection.apply(over.select, over.extend_select, over.ignore)
            where = origin
            selection.drop(per_file)
        except UnknownSelector as error:
            raise SettingsError(where, "", str(error)) from error
        options = self._options(settings, registry)
        rules: list[Selected] = []
        own: set[str] = set()
        for code in selection.codes():
            if registry.is_own(code):
                own.add(code)
                continue
            if preview or not registry.is_preview(code) or selection.named(code):
                rules.append(Selected(code, registry, options.get(code, {})))
        return _Profile(settings, registry, rules, frozenset(own), preview)

    def _options(self, settings: Settings, registry: Registry) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, given in settings.options.items():
            where = settings.path or "settings"
            try:
                code = registry.find(name)
            except UnknownSelector as error:
                raise SettingsError(where, f"rules.{name}", str(error)) from error
            found[code] = check_options(given, registry.load(code).options, f"rules.{name}", where)
        return found


def _is_here(directory: str) -> bool:
    """Whether the working directory is a project's folder or below it."""
    root, here = os.path.realpath(directory), os.path.realpath(os.getcwd())
    return here == root or here.startswith(root.rstrip(os.sep) + os.sep)


def _silence(
    document: Document, found: Iterable[Diagnostic], profile: _Profile, ran: set[str], result: FileResult
) -> list[Diagnostic]:
    """What the file's comments leave, with what is to be said about those comments."""
    left, result.suppressed, reports = suppression.apply(
        document, found, find=profile.registry.find, ran=lambda code: code in ran
    )
    for code, span, message, remedy in reports:
        if code in profile.own:
            rule = profile.registry.load(code)
            left.append(place(rule, Finding(message, span, remedy), document, None))
    return left


def _not_a_config(error: NotAConfig) -> Failure:
    if error.looks_like:
        return Failure(error.path, "not-a-config", f"this is {error.looks_like}, not a training config", "")
    return Failure(
        error.path,
        "not-a-config",
        "not recognised as a training config",
        "name its format with --config-format if it is one; these were looked for:",
        details=error.looked_for,
    )
