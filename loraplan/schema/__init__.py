"""JSON Schemas that LoRAPlan publishes: its own config (generated from the Plan) and the report of `check`.

`python -m loraplan.schema` prints the config's schema; `loraplan.schema.json` beside this file is its output.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any


def plan_schema() -> dict[str, Any]:
    """The schema of `loraplan.yaml`, from the Plan's types and the docstrings of its fields."""
    from pydantic import TypeAdapter

    from loraplan import plan

    schema = TypeAdapter(plan.Plan).json_schema()
    documented = _field_docs(Path(plan.__file__).read_text(encoding="utf-8"))
    for name, section in (("Plan", schema), *schema["$defs"].items()):
        for field, node in section["properties"].items():
            node.pop("title", None)
            if text := documented.get((name, field)):
                node["description"] = text
    schema["properties"] = {
        "loraplan": {"description": "Version of this file format.", "const": 1},
        **schema["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "loraplan.yaml: one fine-tuning run in the Plan's terms",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _field_docs(source: str) -> dict[tuple[str, str], str]:
    """(class, field) -> the docstring that follows the field."""
    found: dict[tuple[str, str], str] = {}
    for kind in ast.parse(source).body:
        if isinstance(kind, ast.ClassDef):
            for field, after in zip(kind.body, kind.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    found[kind.name, field.target.id] = " ".join(str(after.value.value).split())
    return found
