"""The configuration described to editors (JSON Schema) and to people (the table of keys), from the models themselves.

Pure. `docs/schemas/config.schema.json` and docs/configuration.md are compared with these by tests.
"""

import json
from typing import Any, Final

from pydantic.fields import FieldInfo

from coven_action.core.configuration.document import ANY, DESCRIBED_DEFAULT, SECTIONS, ConfigDocument, get_keys

SCHEMA_ID: Final = "https://raw.githubusercontent.com/OpenCoven/coven-action/main/docs/schemas/config.schema.json"


def build_config_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration as it is written, durations and sizes as text."""
    schema = ConfigDocument.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **_simplify(schema),
        "title": "Coven Action: .github/coven.yml",
    }


def _simplify(schema: Any) -> Any:
    """Return the schema without what only pydantic means, and closed where it is about ids as keys."""
    if isinstance(schema, list):
        return [_simplify(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "patternProperties" in schema else {}
    noise = _find_noise(schema)
    return {key: _simplify(part) for key, part in schema.items() if key not in noise} | closed


def _find_noise(schema: dict[str, Any]) -> set[str]:
    """Return the keys to leave out: titles made from names, `null` for an absent key, defaults told in words."""
    no_default = schema.get("default") is None or DESCRIBED_DEFAULT in schema
    # `title` is a word of JSON Schema only where its value is text; elsewhere it would be a property of that name.
    no_title = isinstance(schema.get("title"), str)
    return {DESCRIBED_DEFAULT} | ({"default"} if no_default else set()) | ({"title"} if no_title else set())


def render_key_table() -> str:
    """Return the table of every key with its default and meaning, in Markdown."""
    rows = [
        f"| `{_render_path(section, key)}` | {_render_default(field)} | {field.description} |"
        for section in SECTIONS
        for key, field in get_keys(section).items()
    ]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows])


def _render_path(section: tuple[str, ...], key: str) -> str:
    parts = [part for part in (*section, key) if not part.startswith("#")]
    path = ".".join(parts)
    return path.replace(f"familiars.{ANY}", "familiars.<id>").replace(f".{ANY}", "[]")


def _render_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if DESCRIBED_DEFAULT in extra:
        return str(extra[DESCRIBED_DEFAULT])
    default = extra.get("default", field.default)
    return "none" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"
