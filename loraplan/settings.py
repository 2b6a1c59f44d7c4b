"""Settings: `[tool.loraplan]` in pyproject.toml, or loraplan.toml, nearest above the file that is checked."""

import os
from dataclasses import field
from typing import Any

from loraplan.record import record
from loraplan.rule import SEVERITIES, Severity

FILES = ("loraplan.toml", "pyproject.toml")
_SECTION = b"tool.loraplan"


class SettingsError(Exception):
    """A settings file that cannot be used: file, key, what is wrong, what would be right."""

    def __init__(self, path: str, key: str, message: str) -> None:
        super().__init__(f"{path}: {key}: {message}" if key else f"{path}: {message}")
        self.path = path
        self.key = key
        self.message = message


@record()
class Settings:
    """What a settings file says; the defaults are those of no file at all."""

    path: str | None = None
    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    preview: bool = False
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Glob relative to the settings file -> selectors."""
    exclude: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Code or name as written -> option -> value."""
    versions: dict[str, str] = field(default_factory=dict)
    fail_on: Severity | None = None
    model: str | None = None
    gpu: str | None = None
    dataset_size: int | None = None
    packages: tuple[str, ...] = ("loraplan_rules",)
    rules_dir: str | None = None
    """A folder of rules, one a file, inside the project."""

    @property
    def directory(self) -> str:
        """The folder that globs are relative to."""
        return os.path.dirname(self.path) if self.path else os.getcwd()

    def ignored_for(self, path: str) -> tuple[str, ...]:
        """The selectors that `per-file-ignores` gives for a file."""
        return tuple(
            selector
            for glob, found in self.per_file_ignores
            if matches(path, glob, self.directory)
            for selector in found
        )

    def excludes(self, path: str) -> bool:
        """Whether a file found by searching is left out."""
        return any(matches(path, glob, self.directory) for glob in self.exclude)


# Key -> what it holds, in the words of an error message.
_KEYS = {
    "select": "a list of codes, prefixes or names",
    "extend-select": "a list of codes, prefixes or names",
    "ignore": "a list of codes, prefixes or names",
    "preview": "true or false",
    "per-file-ignores": "a table of glob = list of codes",
    "exclude": "a list of globs",
    "rules": "a table of code = table of options",
    "versions": "a table of framework = version",
    "fail-on": "one of " + ", ".join(f'"{item}"' for item in SEVERITIES),
    "model": "a string",
    "gpu": "a string",
    "dataset-size": "a positive whole number",
    "rule-packages": "a list of importable packages",
    "rules-dir": "a folder inside the project",
}


def matches(path: str, glob: str, directory: str) -> bool:
    """Whether a path meets a glob: against the path below `directory`, any parent folder of it, or the file's name."""
    from fnmatch import fnmatchcase

    below = os.path.relpath(os.path.abspath(path), directory).replace(os.sep, "/")
    glob = glob.rstrip("/").removeprefix("./")
    parts = below.split("/")
    if fnmatchcase(parts[-1], glob) or fnmatchcase(below, glob):
        return True
    return any(fnmatchcase("/".join(parts[:depth]), glob) for depth in range(1, len(parts))) or (
        "/" not in glob and any(fnmatchcase(part, glob) for part in parts[:-1])
    )


class Finder:
    """The settings of each directory, read once."""

    def __init__(self) -> None:
        self._known: dict[str, Settings] = {}

    def of(self, directory: str) -> Settings:
        """The settings that hold in a directory: the nearest file upwards, to the repository's root at most."""
        here = os.path.abspath(directory)
        passed: list[str] = []
        settings = Settings()
        while here not in self._known:
            passed.append(here)
            found = _in_directory(here)
            if found is not None:
                settings = found
                break
            parent = os.path.dirname(here)
            if parent == here or os.path.exists(os.path.join(here, ".git")):
                break
            here = parent
        else:
            settings = self._known[here]
        for item in passed:
            self._known[item] = settings
        return settings


def _in_directory(directory: str) -> Settings | None:
    for name in FILES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            settings = read(path, required=name == "loraplan.toml")
            if settings is not None:
                return settings
    return None


def read(path: str, *, required: bool = True) -> Settings | None:
    """A settings file; None for a pyproject.toml without our section, which is not even parsed."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise SettingsError(path, "", error.strerror or str(error)) from error
    if not required and _SECTION not in content:
        return None
    import tomllib

    try:
        data = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(path, "", f"not valid TOML: {error}") from error
    prefix = ""
    if os.path.basename(path) == "pyproject.toml" or "tool" in data:
        prefix = "tool.loraplan."
        data = data.get("tool", {}).get("loraplan")
        if data is None:
            return None if not required else Settings(path)
    return parse(data, path, prefix)


def parse(data: dict[str, Any], path: str, prefix: str = "") -> Settings:
    """Settings from plain values, every key and type checked by hand: pydantic would cost more than the whole check."""

    def fail(key: str, message: str) -> SettingsError:
        return SettingsError(path, prefix + key, message)

    if not isinstance(data, dict):
        raise SettingsError(path, prefix.rstrip("."), "expected a table")
    values: dict[str, Any] = {"path": path}
    for key, value in data.items():
        if key not in _KEYS:
            raise fail(key, f"no such setting{_did_you_mean(key, _KEYS)}")
        expected = fail(key, f"expected {_KEYS[key]}, found {value!r}")
        match key:
            case "select" | "extend-select" | "ignore" | "exclude" | "rule-packages":
                if not _is_strings(value):
                    raise expected
                values["packages" if key == "rule-packages" else key.replace("-", "_")] = tuple(value)
            case "preview":
                if not isinstance(value, bool):
                    raise expected
                values["preview"] = value
            case "model" | "gpu":
                if not isinstance(value, str) or not value:
                    raise expected
                values[key] = value
            case "rules-dir":
                if not isinstance(value, str) or not value:
                    raise expected
                folder = _inside(value, os.path.dirname(os.path.abspath(path)))
                if folder is None:
                    raise fail(key, f"expected {_KEYS[key]}, found {value!r}")
                values["rules_dir"] = folder
            case "dataset-size":
                if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                    raise expected
                values["dataset_size"] = value
            case "fail-on":
                if value not in SEVERITIES:
                    raise expected
                values["fail_on"] = value
            case "per-file-ignores":
                if not isinstance(value, dict) or not all(_is_strings(item) for item in value.values()):
                    raise expected
                values["per_file_ignores"] = tuple((glob, tuple(items)) for glob, items in value.items())
            case "versions":
                if not isinstance(value, dict):
                    raise expected
                for name, version in value.items():
                    if not isinstance(version, str) or not version[:1].isdigit():
                        raise fail(f"versions.{name}", f'expected a version such as "4.57.1", found {version!r}')
                values["versions"] = {name.lower(): version for name, version in value.items()}
            case "rules":
                if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
                    raise expected
                values["options"] = value
    return Settings(**values)


def check_options(given: dict[str, Any], defaults: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    """A rule's options from the settings, each of a name and type that the rule declares."""
    for name, value in given.items():
        if name not in defaults:
            known = _did_you_mean(name, defaults) or (
                f"; it has {', '.join(sorted(defaults))}" if defaults else "; this rule has none"
            )
            raise SettingsError(path, f"{key}.{name}", f"no such option{known}")
        default = defaults[name]
        numeric = isinstance(default, int | float) and not isinstance(default, bool)
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if numeric
            else default is None or isinstance(value, list if isinstance(default, list | tuple) else type(default))
        )
        if not fits:
            raise SettingsError(path, f"{key}.{name}", f"expected a value like {default!r}, found {value!r}")
    return {name: tuple(value) if isinstance(defaults[name], tuple) else value for name, value in given.items()}


def _inside(value: str, project: str) -> str | None:
    """The real path of a folder, where it lies below the project's own, links followed."""
    root, folder = os.path.realpath(project), os.path.realpath(os.path.join(project, value))
    return folder if os.path.isdir(folder) and os.path.commonpath((root, folder)) == root else None


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _did_you_mean(word: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""
