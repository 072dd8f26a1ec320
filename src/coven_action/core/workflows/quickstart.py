"""What `init` writes: the smallest configuration, and a workflow for this repository.

Pure: answers and the template's text in, file texts out. The workflow is the template with single lines replaced; a
template that lacks one of them is a bug, which a test meets before anybody else.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Final, Literal

from coven_action.core.configuration.config import Config
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.contract.releases import PINNED_VERSION
from coven_action.core.records import Record
from coven_action.core.workflows.check import PLACEHOLDER

BEFORE_RELEASE: Final = "before the first release"

_PIN: Final = re.compile(r"OpenCoven/coven-action@([0-9a-f]{40}) # ([^\n]+)")
_ENVIRONMENT: Final = (
    "    environment: {name: coven, deployment: false} # holds MODEL_API_KEY; limit it to the default branch\n"
)
_WITH_KEY: Final = 'with: {model-api-key: "${{ secrets.MODEL_API_KEY }}", isolation: enforced}'
_WITHOUT_KEY: Final = "with: {isolation: enforced}"
_KEY_LINE: Final = "          model-api-key: ${{ secrets.MODEL_API_KEY }}\n"
QUICKSTART: Final = "quickstart"
ISOLATED: Final = "isolated"
SELF_HOSTED: Final = "self-hosted"
TEMPLATES: Final = (QUICKSTART, ISOLATED, SELF_HOSTED)
"""The workflows that `init` can write: all stages in one job, each in a job of its own, and that on runners of one's own."""


class Answers(Record):
    """What a person decides in `init`.

    Args:
        familiar: The familiar's id.
        display_name: Its name for people, None for the id, capitalised.
        runtime: `patch` needs no model and no secret.
        model: `provider/name`, None with `patch`.
    """

    familiar: str
    display_name: str | None = None
    runtime: Literal["coven-code", "patch"]
    model: str | None = None


def render_config(answers: Answers) -> str:
    """Return the text of `.github/coven.yml`.

    Raises:
        InvalidConfigError: An answer is none that a configuration may hold; each is named with its reason.
    """
    text = _render_config(answers)
    parse_config(text)
    return text


def _render_config(answers: Answers) -> str:
    keys: Mapping[str, str | None] = {
        "display_name": answers.display_name,
        "runtime": "patch" if answers.runtime == "patch" else None,
        "model": answers.model,
    }
    lines = [f"    {key}: {_quote(value)}" for key, value in keys.items() if value is not None]
    # A mapping without keys must be written as one: nothing after the colon would be null.
    familiar = "\n".join(["", *lines]) if lines else " {}"
    return f"version: 1\nfamiliars:\n  {_quote(answers.familiar)}:{familiar}\n"


def _quote(value: str) -> str:
    """Return a value as a YAML scalar: plain where that cannot be misread, else in quotation marks."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*(?::[A-Za-z0-9._/-]+)*", value) and value.lower() not in _MISREAD:
        return value
    escaped = "".join(
        f"\\{character}" if character in '\\"' else character if character.isprintable() else _escape(character)
        for character in value
    )
    return f'"{escaped}"'


def _escape(character: str) -> str:
    """Return a character as YAML's eight-digit escape; the parser of the configuration then says why it is refused."""
    return f"\\U{ord(character):08x}"


_MISREAD: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def find_pin(template: str) -> str | None:
    """Return the commit that the template pins, None where it is still the placeholder."""
    match = _get_pin(template)
    return None if match[1] == PLACEHOLDER else match[1]


def render_workflow(template: str, config: Config, *, action_ref: str | None) -> str:
    """Return the text of `.github/workflows/coven.yml`.

    Args:
        template: The text of one of the workflow templates.
        config: What was written beside it; without a familiar that needs a model, environment and key are left out.
        action_ref: The commit of the action, 40 hexadecimal digits; None for the one that the template pins.

    Raises:
        ValueError: The template lacks a line that is replaced here; or neither it nor the caller names a commit.
    """
    pinned = find_pin(template)
    if action_ref is None and pinned is None:
        raise ValueError("no commit of the action is named")
    text = template
    if action_ref not in (None, pinned):
        text = text.replace(_get_pin(text)[0], f"OpenCoven/coven-action@{action_ref} # {BEFORE_RELEASE}")
    if not needs_key(config):
        key, without = (_KEY_LINE, "") if _KEY_LINE in text else (_WITH_KEY, _WITHOUT_KEY)
        text = _replace(_replace(text, _ENVIRONMENT, ""), key, without)
    return text


def choose_template(wanted: str | None, config: Config) -> str | None:
    """Return which of `TEMPLATES` is written; None where the one that is wanted cannot work.

    Args:
        wanted: What a person asked for, None where nobody did.
        config: With an endpoint, whoever asks for ID tokens and the familiar need jobs of their own.
    """
    if config.hosted is None:
        return wanted or QUICKSTART
    return None if wanted == QUICKSTART else wanted or ISOLATED


def _get_pin(template: str) -> re.Match[str]:
    """Return the pin of the action, which is the same wherever the template uses it."""
    matches = list(_PIN.finditer(template))
    if len({match[0] for match in matches}) != 1:
        raise ValueError("the template does not pin the action, or not always to the same commit")
    return matches[0]


def _replace(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"the template has {text.count(old)} times, not once: {old.strip()}")
    return text.replace(old, new)


_COMMIT: Final = """\
Commit both files to the default branch: the action reads its rules from there alone.
  git add .github/coven.yml .github/workflows/coven.yml
  git commit -m "Add Coven Action"
"""
_KEY: Final = """\
Give the workflow its model key. Settings → Environments → New environment: name it coven, choose under “Deployment
branches and tags” “Selected branches and tags”, add the default branch alone, and add the secret MODEL_API_KEY.
Environments with rules and secrets need a public repository or a paid plan. Without them a repository secret
MODEL_API_KEY does it too, but then whoever can push a branch can write a workflow that reads the key.
Either way use a key with a spending limit.
"""
_PULL_REQUESTS: Final = """\
Let it open pull requests. Settings → Actions → General → Workflow permissions: switch on
“Allow GitHub Actions to create and approve pull requests”. Without it the branch is pushed, and the comment has the
link by which a person opens the pull request.
"""
_LABELS: Final = """\
Create the label. Issues → Labels → New label, or
{commands}
"""
_ENDPOINT: Final = """\
Let the endpoint know the repository. On the machine it runs on: `coven-action enrol`, with the ids that
  gh api repos/OWNER/NAME --jq '.id, .owner.id'
prints. docs/hosted.md has the lines.
"""
_CODE: Final = """\
Know where it starts. The pinned release of coven-code, {version}, gives its agent a shell, so it starts only where
isolation enforced is reached. `coven-action probe`, as a step of a workflow, says whether a runner reaches it;
docs/isolation.md says which ones do, and what is missing on the others.
"""
_CHECKS: Final = """\
Name the repository's checks, when you are ready. They are run before and after the change, in a sandbox without network, and
only with them can a run end as a success. In .github/coven.yml, for example:
  verify: [{name: tests, run: make test}]
"""
_PATCH: Final = """\
Open an issue with a unified diff in a ```diff block and put the label on it. When the run has ended there are one
comment on the issue, a draft pull request, and a Check Run on its head.
"""


def render_next_steps(config: Config) -> str:
    """Return what is left to do, numbered, in the order in which it is done."""
    labels = dict.fromkeys(rule.when.label for rule in config.rules if rule.when.label is not None)
    commands = "\n".join(f"  gh label create {shlex.quote(label)}" for label in labels)
    steps = [
        _COMMIT,
        *((_KEY,) if needs_key(config) else ()),
        _PULL_REQUESTS,
        *((_LABELS.format(commands=commands),) if labels else ()),
        *((_ENDPOINT,) if config.hosted is not None else ()),
        *(() if config.verify else (_CHECKS,)),
        _CODE.format(version=PINNED_VERSION) if needs_key(config) else _PATCH,
    ]
    return "\n".join(_number(number, step) for number, step in enumerate(steps, 1))


def needs_key(config: Config) -> bool:
    """Return whether a familiar needs a model, and so the workflow its key."""
    return any(familiar.runtime == "coven-code" for familiar in config.familiars.values())


def _number(number: int, step: str) -> str:
    return f"{number}. " + step.strip().replace("\n", "\n   ")
