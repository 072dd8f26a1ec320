"""Write the documents that are made from the code: schemas, the endpoint's description, the codes, the security tests.

Usage: python scripts/generate_docs.py [--check]
With --check nothing is written; the exit code is 1 when a file is not what the code says.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from coven_action.cli.serve import command as serve
from coven_action.core.checks.document import Checks
from coven_action.core.configuration.schema import build_config_schema
from coven_action.core.documents import Evidence, Outcome, Plan
from coven_action.core.endpoint.caps import TIERS, Caps
from coven_action.error_codes import CODES, Code
from coven_action.hosted.app import build_routes
from coven_action.hosted.settings import VARIABLES, Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCHEMA_ADDRESS = "https://raw.githubusercontent.com/OpenCoven/coven-action/main/docs/schemas/{name}.schema.json"


def render_schemas() -> dict[str, str]:
    """Return the JSON Schema of each document, by file name."""
    schemas: dict[str, Any] = {
        "config": build_config_schema(),
        **{
            name: _build_schema(model)
            for name, model in (("plan", Plan), ("outcome", Outcome), ("checks", Checks), ("evidence", Evidence))
        },
    }
    return {
        f"{name}.schema.json": json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": SCHEMA_ADDRESS.format(name=name),
                **schema,
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for name, schema in schemas.items()
    }


def _build_schema(model: Any) -> dict[str, Any]:
    return dict(model.model_json_schema(mode="serialization"))


def render_errors() -> str:
    """Return docs/errors.md."""
    errors = {code: entry for code, entry in CODES.items() if not entry.refusal and entry.status is None}
    answers = {code: entry for code, entry in CODES.items() if entry.status is not None}
    refusals = {code: entry for code, entry in CODES.items() if entry.refusal}
    return "\n".join(
        [
            "# Errors and refusals",
            "",
            "Generated from one table in the code (`src/coven_action/error_codes.py`) by `make docs`. The codes are public: they",
            "stand in logs, comments and `evidence.json`, and do not change their meaning.",
            "",
            "An **error** ends the stage with exit code 1. A **refusal** is an answer: one sentence in the comment, exit code 0.",
            "A mistake in `.github/coven.yml` is printed with file, line and column. Exit code 2 is wrong usage of a command,",
            "3 a bug (with a report to paste), 130 an interrupt.",
            "",
            "## Errors",
            "",
            *_render_table(errors),
            "",
            "## Refusals",
            "",
            *_render_table(refusals),
            "",
            "## Answers of the endpoint",
            "",
            "Problem documents of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), `application/problem+json`; the code",
            "stands in `code`, and `type` leads to this page.",
            "",
            *_render_table(answers),
            "",
        ]
    )


def _name_code(code: str, entry: Code) -> str:
    return f"`{code}`" if entry.status is None else f"`{code}` ({entry.status})"


def _render_table(codes: dict[str, Code]) -> list[str]:
    rows = [
        f"| {_name_code(code, entry)} | {entry.meaning} | {entry.remedy} |".replace("\n", " ")
        for code, entry in sorted(codes.items())
    ]
    return ["| code | what it means | what to do |", "|---|---|---|", *rows]


def render_security_tests() -> str:
    """Return docs/security-tests.md, from the red-team suite."""
    sys.path.insert(0, str(DOCS.parent))
    return str(importlib.import_module("tests.redteam.report").render_page())


def render_settings() -> str:
    """Return docs/settings.md, from the settings' own descriptions."""
    defaults = Settings().model_dump()
    rows = [
        f"| `{name}` | {_name_option(name)} | {_name_variable(name)} | {_render_default(defaults[name])} | {meaning} |"
        for name, meaning in read_meanings(Settings).items()
    ]
    tiers = [
        f"| `{name}` | " + " | ".join(_render_cap(getattr(caps, name)) for caps in TIERS.values()) + f" | {meaning} |"
        for name, meaning in read_meanings(Caps).items()
    ]
    return "\n".join(
        [
            "# Settings of the endpoint",
            "",
            "Generated from the code (`src/coven_action/hosted/settings.py`) by `make docs`. For `coven-action serve`, from",
            "three places: an option comes before a variable of the environment, and that before a file (`--config coven.toml`,",
            "or `COVEN_CONFIG`). A key that does not exist is refused with its line. Nothing is read again while the endpoint",
            "runs.",
            "",
            "| key | option | variable | default | what it says |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "```toml",
            "# coven.toml",
            'data = "/var/lib/coven/coven.db"',
            'host = "0.0.0.0"',
            'public_url = "https://coven.example.com"',
            "min_free_disk_percent = 10",
            "",
            "[tiers.open]",
            "tasks_per_day = 20",
            'familiars = "unlimited"',
            "```",
            "",
            "## Tiers",
            "",
            "What a tier allows where nothing else is configured. A table `[tiers.open]` of the file replaces single numbers of",
            'a row, `"unlimited"` allows any; `coven-action admin caps` does the same for one account. What the last start was',
            "configured with holds for every process and every command on the database.",
            "",
            f"| cap | {' | '.join(f'`{tier}`' for tier in TIERS)} | what it counts |",
            f"|---|{'---|' * len(TIERS)}---|",
            *tiers,
            "",
        ]
    )


def read_meanings(model: Any) -> dict[str, str]:
    """Return what a model's docstring says of each of its fields.

    Raises:
        ValueError: It leaves a field out, or describes one that does not exist.
    """
    _, _, listed = inspect.cleandoc(model.__doc__).partition("Args:\n")
    found: dict[str, str] = {}
    for line in inspect.cleandoc(listed).splitlines():
        name, colon, meaning = line.partition(": ")
        if colon and not line.startswith(" "):
            found[name] = meaning
        else:
            found[next(reversed(found))] += f" {line.strip()}"
    if found.keys() != model.model_fields.keys():
        raise ValueError(f"the docstring of {model.__name__} does not describe its fields")
    return found


def _name_variable(name: str) -> str:
    # What is a table is too much for a variable.
    return "" if name == "tiers" else f"`{VARIABLES.get(name, f'COVEN_{name.upper()}')}`"


def _name_option(name: str) -> str:
    options = {parameter.name: parameter.opts[0] for parameter in serve.params}
    return f"`{options[name]}`" if name in options else ""


def _render_default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return "" if isinstance(value, dict) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _render_cap(value: int | None) -> str:
    return "unlimited" if value is None else str(value)


def main() -> int:
    """Write or check the files."""
    files = {
        DOCS / "settings.md": render_settings(),
        DOCS / "errors.md": render_errors(),
        DOCS / "security-tests.md": render_security_tests(),
    }
    files[DOCS / "openapi.json"] = json.dumps(build_routes().openapi(), indent=2, ensure_ascii=False) + "\n"
    files |= {DOCS / "schemas" / name: text for name, text in render_schemas().items()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {path.relative_to(DOCS.parent)}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
