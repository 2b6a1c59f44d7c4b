"""Settings files: finding the nearest, reading every key, naming what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.settings import Finder, Settings, SettingsError, check_options, matches, read

FULL = """\
select = ["ALP", "WRM001"]
extend-select = ["SEC"]
ignore = ["TGT004"]
preview = true
exclude = ["old/*"]
fail-on = "error"
model = "meta-llama/Llama-3.1-8B"
gpu = "t4"
dataset-size = 52000
rule-packages = ["loraplan_rules", "acme"]

[per-file-ignores]
"archived/*" = ["ALL"]

[rules.ALP001]
min = 0.5

[versions]
Transformers = "4.57.1"
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "loraplan.toml"
    path.write_text(FULL)
    settings = read(str(path))
    assert settings == Settings(
        path=str(path),
        select=("ALP", "WRM001"),
        extend_select=("SEC",),
        ignore=("TGT004",),
        preview=True,
        per_file_ignores=(("archived/*", ("ALL",)),),
        exclude=("old/*",),
        options={"ALP001": {"min": 0.5}},
        versions={"transformers": "4.57.1"},
        fail_on="error",
        model="meta-llama/Llama-3.1-8B",
        gpu="t4",
        dataset_size=52000,
        packages=("loraplan_rules", "acme"),
    )
    assert settings.ignored_for(str(tmp_path / "archived" / "a.yml")) == ("ALL",)
    assert settings.ignored_for(str(tmp_path / "a.yml")) == ()
    assert settings.excludes(str(tmp_path / "old" / "deep" / "a.yml"))


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('selct = ["A"]', "selct", "no such setting; did you mean `select`?"),
        ('select = "ALP"', "select", "expected a list of codes, prefixes or names, found 'ALP'"),
        ("select = [1]", "select", "expected a list of codes, prefixes or names, found [1]"),
        ("preview = 1", "preview", "expected true or false, found 1"),
        ("dataset-size = true", "dataset-size", "expected a positive whole number, found True"),
        ("dataset-size = 0", "dataset-size", "expected a positive whole number, found 0"),
        ('fail-on = "never"', "fail-on", 'expected one of "info", "warning", "error", found \'never\''),
        ("model = 3", "model", "expected a string, found 3"),
        (
            "[per-file-ignores]\na = 'b'",
            "per-file-ignores",
            "expected a table of glob = list of codes, found {'a': 'b'}",
        ),
        (
            "rules = ['loraplan_rules']",
            "rules",
            "expected a table of code = table of options, found ['loraplan_rules']",
        ),
        ("[versions]\npeft = 0.17", "versions.peft", 'expected a version such as "4.57.1", found 0.17'),
        ("versions = 3", "versions", "expected a table of framework = version, found 3"),
        ("select = [", "", "not valid TOML: "),
    ],
)
@pytest.mark.parametrize("name", ["loraplan.toml", "pyproject.toml"])
def test_an_error_names_file_and_key(tmp_path: Path, text: str, key: str, message: str, name: str) -> None:
    path = tmp_path / name
    if name == "pyproject.toml":
        text = "[tool.loraplan]\n" + text.replace("[per", "[tool.loraplan.per").replace(
            "[versions", "[tool.loraplan.versions"
        )
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Finder().of(str(tmp_path))
    assert caught.value.path == str(path)
    assert caught.value.key == (f"tool.loraplan.{key}" if key and name == "pyproject.toml" else key)
    assert caught.value.message.startswith(message)


def test_the_nearest_file_wins_and_one_without_our_section_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.loraplan]\nmodel = "outer"\n')
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nbroken = [\n")
    finder = Finder()
    assert finder.of(str(inner)).model == "outer"
    assert finder.of(str(tmp_path / "a")).model == "outer"
    (inner / "loraplan.toml").write_text('model = "inner"\n')
    assert Finder().of(str(inner)).model == "inner"
    (inner / "pyproject.toml").write_text('[tool.loraplan]\nmodel = "second"\n')
    assert Finder().of(str(inner)).model == "inner"


def test_the_search_ends_at_the_repository(tmp_path: Path) -> None:
    (tmp_path / "loraplan.toml").write_text('model = "outside"\n')
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    assert Finder().of(str(repository)) == Settings()


def test_a_named_file_may_be_a_pyproject(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[tool.loraplan]\npreview = true\n")
    settings = read(str(path))
    assert settings is not None
    assert settings.preview
    with pytest.raises(SettingsError, match="No such file"):
        read(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("*.yml", "a/b/c.yml", True),
        ("c.yml", "a/b/c.yml", True),
        ("a/*", "a/b/c.yml", True),
        ("a", "a/b/c.yml", True),
        ("a/", "a/b/c.yml", True),
        ("./a/b", "a/b/c.yml", True),
        ("b", "a/b/c.yml", True),
        ("a/c", "a/b/c.yml", False),
        ("*.yaml", "a/b/c.yml", False),
        ("A", "a/b/c.yml", False),
    ],
)
def test_globs(tmp_path: Path, glob: str, path: str, expected: bool) -> None:
    assert matches(str(tmp_path / path), glob, str(tmp_path)) is expected


DEFAULTS = {"min": 0.25, "names": ("a",), "strict": False, "word": "x"}


def test_options_take_the_type_of_their_default() -> None:
    given = {"min": 1, "names": ["b", "c"], "strict": True, "word": "y"}
    assert check_options(given, DEFAULTS, "rules.ALP001", "f") == {
        "min": 1, "names": ("b", "c"), "strict": True, "word": "y",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mn": 1}, "f: rules.A.mn: no such option; did you mean `min`?"),
        ({"zzz": 1}, "f: rules.A.zzz: no such option; it has min, names, strict, word"),
        ({"min": "1"}, "f: rules.A.min: expected a value like 0.25, found '1'"),
        ({"min": True}, "f: rules.A.min: expected a value like 0.25, found True"),
        ({"names": "b"}, "f: rules.A.names: expected a value like ('a',), found 'b'"),
        ({"strict": 1}, "f: rules.A.strict: expected a value like False, found 1"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_options(given, DEFAULTS, "rules.A", "f")
    assert str(caught.value) == message


def test_settings_without_a_file_are_relative_to_the_working_directory() -> None:
    assert Settings().directory == str(Path.cwd())
