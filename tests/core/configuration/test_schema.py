"""The configuration described to editors and people agrees with what is accepted."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from coven_action.core.configuration.mistakes import InvalidConfigError
from coven_action.core.configuration.parsing import find_mistakes, parse_config
from coven_action.core.configuration.schema import SCHEMA_ID, build_config_schema, render_key_table
from tests.core.configuration.test_parsing import EXAMPLE, GROWN

DOCUMENT = (Path(__file__).parents[3] / "docs/configuration.md").read_text(encoding="utf-8")
EXAMPLES = [block for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL) if block.startswith("version")]


@pytest.fixture(scope="module")
def validator():
    schema = build_config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_names_itself():
    schema = build_config_schema()

    assert schema["$id"] == SCHEMA_ID
    assert schema["title"] == "Coven Action: .github/coven.yml"
    assert schema["description"]
    assert schema["$defs"]["WrittenLimits"]["properties"]["time"]["default"] == "30m"


@pytest.mark.parametrize("text", [GROWN, *EXAMPLES])
def test_what_is_accepted_is_valid_as_it_is_written(validator, text):
    assert parse_config(text)
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "version: 2\nfamiliars: {a: {runtime: patch}}",
        "version: 1\nfamiliars: {}",
        "version: 1\nfamiliars: {Cody: {runtime: patch}}",
        "version: 1\nfamiliars: {coven: {runtime: patch}}",
        "version: 1\nfamiliars: {a: {runtime: patch, mode: some}}",
        "version: 1\nfamiliars: {a: {model: }}",
        "version: 1\nfamiliars: {a: {runtime: patch}}\nlimits: {time: 30}",
        "version: 1\nfamiliars: {a: {runtime: patch}}\nverify: []",
        'version: 1\nfamiliars: {a: {runtime: patch}}\nprotect: ["a/**b"]',
        "version: 1\nfamiliars: {a: {runtime: patch}}\nprotect: ['src/{a,b}']",
        "version: 1\nfamiliars: {a: {runtime: patch}}\nprotect_override: [{path: AGENTS.md}]",
        "version: 1\nfamiliars: {a: {runtime: patch}}\nrouting: [{when: {}, familiar: a}]",
        "version: 1\nfamiliars: {a: {runtime: patch}}\nrouting: [{otherwise: triage}]",
    ],
)
def test_an_editor_marks_what_is_refused(validator, text):
    assert find_mistakes(text)
    assert not validator.is_valid(yaml.safe_load(text))


def test_the_documentation_lists_every_key_with_its_default():
    assert f"by a test -->\n{render_key_table()}\n<!-- /keys -->" in DOCUMENT


def test_the_documentation_has_examples():
    assert len(EXAMPLES) == 2


def test_the_mistakes_in_the_documentation_are_those_people_see():
    text = "version: 1\nfamiliars:\n  cody:\n    model: anthropic/claude-sonnet-4-6\n    modle: repair\nlimits: {time: 10 min}\n"
    error = InvalidConfigError(find_mistakes(text + "publish: {commit: api}\n"), path=".github/coven.yml")

    assert f"```text\n{error.diagnostics()}\n```" in DOCUMENT
