"""Checks a JSON document of ours against the schema that ships with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
from referencing import Registry, Resource


def _load() -> dict[str, dict[str, Any]]:
    folder = resources.files("agentlaunch") / "schemas"
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text())
        for file in folder.iterdir()
        if file.name.endswith(".json")
    }


SCHEMAS = _load()
_REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def check(document: dict[str, Any], name: str | None = None) -> None:
    """Raise unless the document fits the schema that it names, or the envelope of a failure."""
    known = name or ("error" if not document["ok"] else document["schema"].split("/")[1])
    validator = jsonschema.Draft202012Validator(SCHEMAS[known], registry=_REGISTRY)
    validator.validate(document)
