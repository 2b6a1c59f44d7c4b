"""The direction of imports, read from the sources: lower layers know nothing of higher ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Layer by layer, lowest first: a module may import its own layer and those below it.
LAYERS = [
    {"loraplan", "loraplan.record"},
    {"loraplan.document", "loraplan.plan"},
    {"loraplan.origin"},
    {"loraplan.devices", "loraplan.arch", "loraplan.trace"},
    {"loraplan.formats", "loraplan.derived"},
    {"loraplan.memory", "loraplan.datasets"},
    {"loraplan.rule"},
    {"loraplan.result", "loraplan.context", "loraplan.select", "loraplan.suppression", "loraplan.baseline"},
    {
        "loraplan.settings",
        "loraplan.versions",
        "loraplan.discover",
        "loraplan.failure",
        "loraplan.home",
        "loraplan.run",
        "loraplan.atomic",
        "loraplan.fingerprint",
        "loraplan.accepted",
    },
    {"loraplan.engine"},
    {"loraplan.report", "loraplan.api", "loraplan.schema", "loraplan.fixing"},
    {"loraplan.training"},
    {"loraplan.cli", "loraplan.__main__", "loraplan.server"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
RULES_MAY_IMPORT = {
    "loraplan.rule", "loraplan.plan", "loraplan.origin", "loraplan.arch", "loraplan.derived", "loraplan.document",
    "loraplan.formats.reading", "loraplan.formats.table", "loraplan.formats.values", "loraplan.formats.targets",
    "loraplan.formats.spelling", "loraplan.formats.python_calls", "loraplan.devices", "loraplan.memory",
    "loraplan.formats.loading",
}  # fmt: skip
# What of the trainer's package needs no torch, so that the command side shares it.
TRAINER_CONTRACT = {
    f"loraplan_trainer.{name}"
    for name in ("manifest", "events", "failure", "fields", "arguments", "console", "situation", "data.encode",
                 "fields.outcomes", "data.forms", "data.rows", "data.templates")
}  # fmt: skip
TRAINING_ONLY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "trl", "datasets"}
DEPENDENCIES = {"click", "yaml", "rich", "pydantic", "tree_sitter", "tree_sitter_bash",
                "tree_sitter_toml", "matplotlib", "huggingface_hub", "pygls", "lsprotocol"}  # fmt: skip


def _modules(folder: str) -> Iterator[tuple[str, Path]]:
    base = ROOT / folder
    for path in sorted(base.rglob("*.py")):
        parts = path.relative_to(base.parent).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it; not those for type checkers only."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped |= {id(inner) for inner in ast.walk(node)}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in ("loraplan", *LEVEL))


def _layer(module: str) -> str | None:
    """The unit of `LAYERS` that a module belongs to."""
    if module == "loraplan":
        return module
    first = ".".join(module.split(".")[:2])
    return first if first in LEVEL else None


LORAPLAN = list(_modules("loraplan"))
RULES = list(_modules("rules/loraplan_rules"))


@pytest.mark.parametrize(("name", "path"), LORAPLAN, ids=[name for name, _ in LORAPLAN])
def test_a_layer_imports_only_what_is_below(name: str, path: Path) -> None:
    layer = _layer(name)
    assert layer is not None, f"{name} has no layer"
    if name == "loraplan":
        return  # its __getattr__ reaches up on purpose
    for imported in _imports(path):
        target = _layer(imported)
        if target is not None:
            assert LEVEL[target] <= LEVEL[layer], f"{name} imports {imported}"
        foreign = imported.partition(".")[0] in {"loraplan_rules", "loraplan_trainer"}
        shared = layer == "loraplan.training" and imported in TRAINER_CONTRACT | {"loraplan_trainer"}
        assert not foreign or shared, f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), RULES, ids=[name for name, _ in RULES])
def test_rules_import_only_their_contract(name: str, path: Path) -> None:
    for imported in _imports(path):
        if imported == "loraplan" or imported.startswith("loraplan."):
            allowed = any(imported == unit or imported.startswith(f"{unit}.") for unit in RULES_MAY_IMPORT)
            assert allowed, f"{name} imports {imported}"
        assert not imported.startswith("loraplan_trainer")


def test_what_is_shared_of_the_trainer_loads_no_training_library() -> None:
    import subprocess
    import sys

    program = f"import sys, {', '.join(sorted(TRAINER_CONTRACT))}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not TRAINING_ONLY & set(done.stdout.split())


def test_training_libraries_are_imported_by_the_trainer_only() -> None:
    for name, path in LORAPLAN + RULES:
        if not name.startswith("loraplan.trace"):  # runs them on the meta device, and is imported by nothing else
            assert not {item.partition(".")[0] for item in _imports(path)} & TRAINING_ONLY, name
            assert not any(item.startswith("loraplan.trace") for item in _imports(path)), name


def test_third_parties_are_those_that_are_declared() -> None:
    import sys

    ours = {"loraplan", "loraplan_rules", "loraplan_trainer"}
    for name, path in LORAPLAN + RULES:
        foreign = {item.partition(".")[0] for item in _imports(path)} - set(sys.stdlib_module_names) - ours
        allowed = DEPENDENCIES | TRAINING_ONLY if name.startswith("loraplan.trace") else DEPENDENCIES
        assert foreign <= allowed, f"{name}: {foreign - allowed}"
        if not name.startswith("loraplan.cli"):
            assert "click" not in foreign, f"{name} imports click"


def test_the_rules_package_is_named_in_the_settings_and_nowhere_imported() -> None:
    from loraplan.settings import Settings

    assert Settings().packages == ("loraplan_rules",)
