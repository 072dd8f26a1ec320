"""What may be written in `.github/coven.yml`: the one place that names the keys, their kinds and their defaults.

Pure. The mistakes people read, the JSON Schema editors use and the table in docs/configuration.md all come from these
models. Only keys that this version acts on stand here; `config_rules.py` knows the planned ones.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.fields import FieldInfo

from coven_action.core.checks.results import MAX_CHECKS
from coven_action.core.configuration.endpoint_urls import find_endpoint_mistake, find_oversight_mistake
from coven_action.core.configuration.host_names import find_host_mistake
from coven_action.core.configuration.quantities import parse_duration, parse_size
from coven_action.core.configuration.value_types import (
    CheckedText,
    Choice,
    ReservedText,
    Text,
    TruthValue,
    WholeNumber,
    build_duration,
    build_money,
    build_size,
)
from coven_action.core.memory.policy_block import MemoryScope
from coven_action.core.records import Record
from coven_action.core.verification.path_patterns import (
    MAXIMUM_PATTERN_LENGTH,
    PATTERN_ADVICE,
    PATTERN_FORM,
    find_pattern_mistake,
)
from coven_action.core.verification.protected_paths import find_override_mistake

DEFAULT_PATH: Final = ".github/coven.yml"
"""Where the configuration stands in a repository; it is read from the default branch only."""

DEFAULT_LABEL: Final = "coven:fix"
"""The label that starts the only familiar where `routing` is not written."""

DESCRIBED_DEFAULT: Final = "x-default"
"""Where a field says its default in words, because it depends on other keys."""

DEFAULT_COST_CENTS: Final = 500
DEFAULT_COST: Final = f"{DEFAULT_COST_CENTS // 100} USD"
"""What a run may spend where nothing is written and the model's price is known."""

MAX_ITEMS: Final = 100
"""Longest list, and most familiars: GitHub keeps no more labels on an issue, and people read no longer file."""

FAMILIAR_ID: Final = ReservedText(
    Text(32, r"[a-z][a-z0-9-]*", "an id is up to 32 lower-case letters, digits and hyphens, and begins with a letter"),
    ("coven",),
    "`/coven` addresses whichever familiar the routing names, so choose another id",
)
LABEL: Final = Text(50, r".+", "a label is 1 to 50 characters on one line")
# The underscore is that of enterprise-managed accounts, `name_shortcode`.
LOGIN: Final = Text(39, r"[A-Za-z0-9][A-Za-z0-9_-]*", "write the login of a GitHub account, without @")
MODEL: Final = Text(160, r"[a-z][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._:@/-]*", "write provider/name")
SKILL: Final = Text(64, r"[A-Za-z0-9][A-Za-z0-9._-]*", "a skill is up to 64 letters, digits, dots and hyphens")
DISPLAY_NAME: Final = Text(60, r".+", "a name is 1 to 60 characters on one line")
ARGUMENT: Final = Text(4096, r".+", "an argument is 1 to 4096 characters on one line")
_PATTERN_TEXT: Final = Text(MAXIMUM_PATTERN_LENGTH, PATTERN_FORM, PATTERN_ADVICE)
PATTERN: Final = CheckedText(_PATTERN_TEXT, (find_pattern_mistake,))
OPENED_PATTERN: Final = CheckedText(_PATTERN_TEXT, (find_pattern_mistake, find_override_mistake))
CHECK_NAME: Final = Text(40, r".+", "a check's name is 1 to 40 characters on one line")
COMMAND_LINE: Final = Text(2000, r".+", "a command is one line for the shell, of at most 2000 characters")
HOST: Final = CheckedText(
    Text(253, r".+", "write a host such as registry.npmjs.org, exactly, without scheme, port or `*`"),
    (find_host_mistake,),
)
REASON: Final = Text(200, r".+", "say in a line of at most 200 characters why")
_URL_ADVICE: Final = "write https:// and a host; http:// is taken for this machine only"
ENDPOINT_URL: Final = CheckedText(
    Text(200, r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?", _URL_ADVICE), (find_endpoint_mistake,)
)
OVERSIGHT_URL: Final = CheckedText(
    Text(300, r"https?://[A-Za-z0-9.\[\]:-]+/[A-Za-z0-9._~/?&=%{}-]*", _URL_ADVICE), (find_oversight_mistake,)
)
# GitHub's ids stay below what a JSON number holds exactly.
ACCOUNT_ID: Final = WholeNumber(1, 2**53 - 1, "the numeric id of a bot's account")


def _written(text: str, parse: Callable[[str], int], description: str) -> Any:
    """Return a field whose default is a quantity, shown to people as it is written."""
    return Field(default=parse(text), description=description, json_schema_extra={"default": text})


class RuntimeCommand(Record):
    """A runtime of your own: an executable that takes `--headless --context BRIEF --output RESULT`."""

    command: tuple[Annotated[str, ARGUMENT], ...] = Field(
        min_length=1, max_length=MAX_ITEMS, description="The program and its arguments, started without a shell."
    )


def _tag_runtime(value: object) -> str:
    return "#command" if isinstance(value, dict) else "#name"


class WrittenFamiliar(Record):
    """One coding agent of the repository."""

    display_name: Annotated[str | None, DISPLAY_NAME] = Field(
        default=None, description="The name people read.", json_schema_extra={DESCRIBED_DEFAULT: "the id, capitalised"}
    )
    model: Annotated[str | None, MODEL] = Field(
        default=None,
        description="The model, as `provider/name`; needed unless the runtime is `patch` or a command.",
    )
    skills: tuple[Annotated[str, SKILL], ...] = Field(
        default=(), max_length=MAX_ITEMS, description="Names of skills handed to the runtime."
    )
    runtime: Annotated[
        Annotated[Literal["coven-code", "patch"], Choice(("coven-code", "patch")), Tag("#name")]
        | Annotated[RuntimeCommand, Tag("#command")],
        Discriminator(_tag_runtime),
    ] = Field(
        default="coven-code",
        description="`coven-code`; `patch`, which applies the diff found in the issue; or `{command: [program, …]}`.",
    )
    mode: Annotated[Literal["repair", "full"], Choice(("repair", "full"))] = Field(
        default="repair",
        description="What it may do: `repair` edits files; `full` adds a shell and needs isolation `enforced`.",
    )
    hosts: tuple[Annotated[str, HOST], ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="Hosts that it may reach beside the model's, exactly, by TLS on port 443; only with `mode: full`.",
    )
    assignee: Annotated[str | None, LOGIN] = Field(
        default=None, description="Login of the project's own machine account that stands for it."
    )


class When(Record):
    """The conditions of a rule; all that are written must hold, and at least one must be written."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    label: Annotated[str | None, LABEL] = Field(default=None, description="This label was added.")
    assignee: Annotated[str | None, LOGIN] = Field(
        default=None, description="This account, the `assignee` of a familiar, was assigned."
    )


class WrittenRule(Record):
    """One rule of the routing."""

    when: When = Field(description="The conditions; all must hold.")
    familiar: Annotated[str, FAMILIAR_ID] = Field(description="Who answers: an id of `familiars`.")
    task: Annotated[Literal["fix"], Choice(("fix",))] = Field(
        default="fix", description="What is asked: `fix` changes the tree."
    )


class WrittenOtherwise(Record):
    """The last rule, for what no other rule answers."""

    otherwise: Annotated[Literal["decline"], Choice(("decline",))] = Field(
        description="`decline` starts nothing, which is also what happens without this line."
    )


def _tag_rule(value: object) -> str:
    """Return which of the two forms is meant, so that a mistake is explained in terms of that one."""
    if not isinstance(value, dict) or not value or "when" in value or "familiar" in value or "task" in value:
        return "#rule"
    return "#otherwise"


class WrittenLimits(Record):
    """The bounds of one run."""

    time: Annotated[int, build_duration("1m", "6h", "a job on a GitHub-hosted runner ends after six hours")] = _written(
        "30m", parse_duration, "How long a familiar may work."
    )
    turns: Annotated[int, WholeNumber(1, 500, "more turns than that is going round in circles")] = Field(
        default=40, description="How many turns the model may take."
    )
    files: Annotated[int, WholeNumber(1, 3000, "GitHub lists no more files of a pull request")] = Field(
        default=100, description="How many files may change."
    )
    # As many as GitHub shows of a pull request.
    # https://docs.github.com/en/repositories/creating-and-managing-repositories/repository-limits#diff-limits
    lines: Annotated[int, WholeNumber(1, 1_000_000, "nobody reviews more lines than that")] = Field(
        default=20_000,
        description="How many lines may be added and deleted together. GitHub shows 20000 of a pull request.",
    )
    binary_files: Annotated[int, WholeNumber(0, 3000, "GitHub lists no more files of a pull request")] = Field(
        default=20, description="How many of the files may be binary: a person sees that they change, not what changes."
    )
    patch: Annotated[int, build_size("1KiB", "100MiB", "GitHub refuses files above 100 MiB")] = _written(
        "4MiB",
        parse_size,
        "How large the whole change may be. A file of more than 16 MiB, before or after it, is in no change.",
    )
    attempts: Annotated[int, WholeNumber(1, 5, "what five attempts did not mend, a sixth will not")] = Field(
        default=2,
        description="How often a familiar may try while the checks of `verify` fail, within the other limits.",
    )
    cost: Annotated[int | None, build_money("0.01 USD", "10000 USD", "more than that is no limit")] = Field(
        default=None,
        description="What a run may spend at its model, as `5 USD`. It ends with the answer that passes it.",
        json_schema_extra={DESCRIBED_DEFAULT: f"`{DEFAULT_COST}` where the model's price is known, else none"},
    )
    per_day: Annotated[int | None, WholeNumber(1, 10_000, "more tasks than that is no limit")] = Field(
        default=None, description="How many tasks of this repository may start in a day (UTC); needs `hosted`."
    )


class WrittenOverride(Record):
    """One exception from the built-in protected paths."""

    path: Annotated[str, OPENED_PATTERN] = Field(description="What may be changed although it is on the built-in list.")
    reason: Annotated[str, REASON] = Field(description="Why; people read it beside every change that needed it.")


class WrittenCheck(Record):
    """One of the repository's own checks."""

    name: Annotated[str, CHECK_NAME] = Field(description="Its name for people.")
    run: Annotated[str, COMMAND_LINE] = Field(description="A line for `sh`, started in the root of the tree.")
    timeout: Annotated[int, build_duration("1s", "2h", "a job on a GitHub-hosted runner ends after six hours")] = (
        _written("10m", parse_duration, "How long it may take.")
    )
    network: Annotated[bool, TruthValue()] = Field(default=False, description="Whether it may reach the network.")


class Publish(Record):
    """How a result is presented."""

    failing_checks: Annotated[Literal["draft", "nothing"], Choice(("draft", "nothing"))] = Field(
        default="draft",
        description="What is published where checks fail: a `draft` pull request whose Check Run fails, or `nothing`.",
    )

    labels: tuple[Annotated[str, LABEL], ...] = Field(
        default=(), max_length=MAX_ITEMS, description="Labels for the pull request."
    )


class Hosted(Record):
    """The endpoint that keeps history and memory. Opt-in; without this section nothing is sent anywhere."""

    url: Annotated[str, ENDPOINT_URL] = Field(
        description="Its address; also the audience of the ID tokens it is shown, exactly as written."
    )
    required: Annotated[bool, TruthValue()] = Field(
        default=False, description="Whether a run that cannot reach it is declined."
    )
    oversight_url: Annotated[str | None, OVERSIGHT_URL] = Field(
        default=None,
        description="Where people look at a run, with `{run}` for its number.",
        json_schema_extra={DESCRIBED_DEFAULT: "the endpoint's page of the run"},
    )


class WrittenRetention(Record):
    """How long entries of memory live, counted in whole days."""

    max_age: Annotated[int, build_duration("1d", "3650d", "after ten years nobody knows who approved it")] = _written(
        "365d", parse_duration, "How long an entry may live; proposals and `memory add` write it as their last day."
    )
    unused: Annotated[int, build_duration("1d", "3650d", "as for max_age")] = _written(
        "90d", parse_duration, "How long an entry may lie unread; handed over in the brief."
    )


class WrittenMemory(Record):
    """What familiars may remember of this repository."""

    enabled: Annotated[bool, TruthValue()] = Field(default=False, description="Whether memory is on.")
    read: tuple[Annotated[MemoryScope, Choice(("repo", "tenant_shared"))], ...] = Field(
        default=("repo",),
        max_length=MAX_ITEMS,
        description="Whose entries may be read: `repo`, this repository's; `tenant_shared`, the account's (needs `hosted`).",
    )
    write: tuple[Annotated[Literal["repo"], Choice(("repo",))], ...] = Field(
        default=("repo",), max_length=MAX_ITEMS, description="Where entries may be proposed; never wider than `read`."
    )
    approval: Annotated[Literal["required", "automatic"], Choice(("required", "automatic"))] = Field(
        default="required",
        description="Who approves proposals. In files a person does, by a merge, whatever is written.",
    )
    separate_approver: Annotated[bool, TruthValue()] = Field(
        default=False, description="Whether whoever asked for the work may not approve what it proposed."
    )
    retention: WrittenRetention = Field(
        default=WrittenRetention(), description="How long entries live.", json_schema_extra={"default": {}}
    )


class ConfigDocument(Record):
    """The familiars of a repository, who starts them, and the bounds of their work."""

    version: Annotated[Literal[1], Choice((1,))] = Field(description="The form of this file.")
    familiars: dict[Annotated[str, FAMILIAR_ID], WrittenFamiliar] = Field(
        min_length=1, max_length=MAX_ITEMS, description="The coding agents of this repository, by id."
    )
    routing: tuple[
        Annotated[
            Annotated[WrittenRule, Tag("#rule")] | Annotated[WrittenOtherwise, Tag("#otherwise")],
            Discriminator(_tag_rule),
        ],
        ...,
    ] = Field(
        default=(),
        min_length=1,
        max_length=MAX_ITEMS,
        description="Who answers what; the first rule that holds wins. Needed where there are several familiars.",
        json_schema_extra={DESCRIBED_DEFAULT: f"label `{DEFAULT_LABEL}` starts the only familiar"},
    )
    allow_bots: tuple[Annotated[int, ACCOUNT_ID], ...] = Field(
        default=(), max_length=MAX_ITEMS, description="Numeric account ids of bots that may ask."
    )
    verify: tuple[WrittenCheck, ...] = Field(
        default=(),
        min_length=1,
        max_length=MAX_CHECKS,
        description="The repository's own checks: run by us in a sandbox, before and after the change.",
    )
    limits: WrittenLimits = Field(
        default=WrittenLimits(), description="The bounds of one run.", json_schema_extra={"default": {}}
    )
    protect: tuple[Annotated[str, PATTERN], ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="Paths that no result may change, added to the built-in list.",
    )
    protect_override: tuple[WrittenOverride, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="Exceptions from the built-in list, each with its reason."
    )
    publish: Publish = Field(
        default=Publish(), description="How a result is presented.", json_schema_extra={"default": {}}
    )
    memory: WrittenMemory = Field(
        default=WrittenMemory(),
        description="What familiars may remember of this repository.",
        json_schema_extra={"default": {}},
    )
    hosted: Hosted | None = Field(
        default=None, description="The endpoint that keeps history and memory, where one is used."
    )


ANY: Final = "*"
"""Stands for any key or position in a path of `SECTIONS` or `config_rules.NOT_YET`."""

SECTIONS: Final[Mapping[tuple[str, ...], type[Record]]] = {
    (): ConfigDocument,
    ("familiars", ANY): WrittenFamiliar,
    ("familiars", ANY, "runtime", "#command"): RuntimeCommand,
    ("routing", ANY, "#rule"): WrittenRule,
    ("routing", ANY, "#rule", "when"): When,
    ("routing", ANY, "#otherwise"): WrittenOtherwise,
    ("verify", ANY): WrittenCheck,
    ("limits",): WrittenLimits,
    ("protect_override", ANY): WrittenOverride,
    ("publish",): Publish,
    ("memory",): WrittenMemory,
    ("memory", "retention"): WrittenRetention,
    ("hosted",): Hosted,
}
"""Every mapping of the document that has keys of ours. Parts that begin with `#` say which form of a value is meant."""

FORMS: Final = frozenset({"#name", "#command", "#rule", "#otherwise"})
"""The parts of a path that tell forms apart and are not written in the file."""


def get_keys(section: tuple[str, ...]) -> Mapping[str, FieldInfo]:
    """Return the keys that may stand in a section of `SECTIONS`, in the order people read them."""
    return SECTIONS[section].model_fields
