"""The configuration: what it means, and every way in which it can be wrong."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.checks.results import CheckCommand
from coven_action.core.configuration.config import Config, Familiar, Limits, Rule
from coven_action.core.configuration.document import ANY, SECTIONS, Hosted, Publish, When
from coven_action.core.configuration.mistakes import InvalidConfigError
from coven_action.core.configuration.parsing import find_mistakes, parse_config
from coven_action.core.configuration.rules import NOT_YET, find_plan
from coven_action.core.memory.grants import MemorySettings
from coven_action.core.verification.path_patterns import PATTERN_ADVICE
from coven_action.core.verification.protected_paths import Override, Protection
from coven_action.error_codes import CODES
from coven_action.errors import ConfigError
from tests.fuzzing import examples

SMALLEST = """\
version: 1
familiars:
  cody:
    model: anthropic/claude-sonnet-4-6
"""

GROWN = """\
version: 1
familiars:
  cody:
    display_name: Cody the 1st
    model: anthropic/claude-sonnet-4-6
    skills: [systematic-debugging, test-driven-development]
    assignee: acme-coven
    mode: full
    hosts: [registry.npmjs.org]
  stitch: {runtime: patch}
  loom: {runtime: {command: [/opt/loom, --quiet]}}
routing:
  - {when: {label: "coven:apply"}, familiar: stitch}
  - {when: {label: "coven:fix"}, familiar: cody, task: fix}
  - {when: {assignee: ACME-coven}, familiar: loom}
  - {otherwise: decline}
allow_bots: [49699333]
verify:
  - {name: tests, run: make test, timeout: 20m}
  - {name: audit, run: "npm audit && true", network: true}
limits: {time: 45m, turns: 60, files: 50, patch: 512KiB, attempts: 3, cost: 0.50 USD, per_day: 20}
publish: {labels: ["coven", "🧙‍♀️ magic"], failing_checks: nothing}
protect: ["migrations/**", LICENSE, "*.sql"]
protect_override:
  - {path: docs/AGENTS.md, reason: It is an example in the documentation.}
memory:
  enabled: true
  read: [repo, tenant_shared]
  write: []
  approval: automatic
  separate_approver: true
  retention: {max_age: 30d, unused: 36h}
hosted: {url: "https://coven.example.com", required: true, oversight_url: "https://example.com/runs?number={run}"}
"""

EXAMPLE = """\
version: 1

familiars:
  cody:
    display_name: Cody
    model: anthropic/claude-sonnet-4-6

  nova:
    model: anthropic/claude-opus-4-8
    modle: repair

routing:
  - {when: {label: "coven:fix"}, familiar: nova}

limits: {turns: 40, files: 100, patch: 4MiB, time: 10 min}
"""


def _tell(text):
    """Return every mistake as `line:column code message / note`."""
    return [
        f"{m.line}:{m.column} {m.code} {m.message}" + (f" / {m.note}" if m.note else "") for m in find_mistakes(text)
    ]


def _with(lines, *, familiar=""):
    return f"{SMALLEST}{familiar and f'    {familiar}'}\n{lines}"


def test_the_smallest_configuration_gets_every_default():
    assert parse_config(SMALLEST) == Config(
        version=1,
        familiars={
            "cody": Familiar(
                id="cody",
                display_name="Cody",
                model="anthropic/claude-sonnet-4-6",
                runtime="coven-code",
                mode="repair",
                skills=(),
                assignee=None,
            )
        },
        rules=(Rule(when=When(label="coven:fix"), familiar="cody", task="fix"),),
        otherwise="decline",
        allow_bots=(),
        limits=Limits(time=1800, turns=40, files=100, patch=4 * 1024 * 1024),
        protection=Protection(protect=(), overrides=()),
        publish=Publish(labels=()),
        memory=MemorySettings(
            enabled=False,
            read=("repo",),
            write=("repo",),
            approval="required",
            separate_approver=False,
            max_age_days=365,
            unused_days=90,
        ),
    )


def test_a_grown_configuration_means_what_it_says():
    config = parse_config(GROWN)

    assert list(config.familiars) == ["cody", "stitch", "loom"]
    assert config.familiar("cody").display_name == "Cody the 1st"
    assert config.familiar("stitch") == Familiar(id="stitch", display_name="Stitch", runtime="patch")
    assert config.familiar("loom").runtime == ("/opt/loom", "--quiet")
    assert [rule.familiar for rule in config.rules] == ["stitch", "cody", "loom"]
    assert config.rules[2].when == When(assignee="ACME-coven")
    assert config.allow_bots == (49699333,)
    assert config.limits == Limits(time=2700, turns=60, files=50, patch=512 * 1024, attempts=3, cost=50, per_day=20)
    assert config.publish.labels == ("coven", "🧙‍♀️ magic")
    assert config.protection == Protection(
        protect=("migrations/**", "LICENSE", "*.sql"),
        overrides=(Override(path="docs/AGENTS.md", reason="It is an example in the documentation."),),
    )
    assert config.memory == MemorySettings(
        enabled=True,
        read=("repo", "tenant_shared"),
        write=(),
        approval="automatic",
        separate_approver=True,
        max_age_days=30,
        unused_days=1,
    )
    assert config.hosted == Hosted(
        url="https://coven.example.com", required=True, oversight_url="https://example.com/runs?number={run}"
    )


def test_a_routing_that_only_declines_leaves_the_commands():
    config = parse_config(_with("routing: [{otherwise: decline}]"))

    assert config.rules == ()
    assert config.otherwise == "decline"


def test_the_defaults_are_those_of_the_documents():
    assert Limits() == Limits(time=1800, turns=40, files=100, lines=20_000, binary_files=20, patch=4_194_304)
    assert Config(familiars={}, rules=()).publish == Publish(labels=())


def test_the_configuration_is_frozen():
    config = parse_config(SMALLEST)

    with pytest.raises(ValidationError, match="frozen"):
        config.limits.files = 5000


def test_an_unknown_familiar_is_no_familiar():
    with pytest.raises(KeyError):
        parse_config(SMALLEST).familiar("nova")


def test_the_mistakes_are_printed_as_people_read_them():
    with pytest.raises(ConfigError) as caught:
        parse_config(EXAMPLE)

    assert caught.value.code == "invalid-config"
    assert caught.value.diagnostics() == (
        ".github/coven.yml:10:5: error[unknown-key]: familiars.nova.modle is not a key here\n"
        "  |     modle: repair\n"
        "  |     ^^^^^ did you mean `mode`? allowed: display_name, model, skills, runtime, mode, hosts, assignee\n"
        '.github/coven.yml:15:52: error[invalid-duration]: limits.time is "10 min"; write 10m, 90s or 1h\n'
        "2 errors. Nothing was run."
    )


def test_the_path_is_the_one_that_was_given():
    with pytest.raises(InvalidConfigError) as caught:
        parse_config("a: [", path="other.yml")

    assert caught.value.diagnostics().startswith("other.yml:1:5: error[invalid-yaml]: this is not valid YAML\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            [
                "1:1 missing-key version is missing / add `version`",
                "1:1 missing-key familiars is missing / add `familiars`",
            ],
        ),
        ("hello", ['1:1 wrong-type the file is "hello"; write a mapping']),
        ("- a", ["1:1 wrong-type the file is a list; write a mapping"]),
        ("version: 1\nfamiliars: {}", ["2:12 missing-key familiars is empty / write at least one entry"]),
        ("version: 1\nfamiliars:", ["2:11 wrong-type familiars is empty; write a mapping"]),
        ("version: 1\nfamiliars: [cody]", ["2:12 wrong-type familiars is a list; write a mapping"]),
        ("version: 1\nfamiliars: {cody: }", ["2:18 wrong-type familiars.cody is empty; write a mapping"]),
        (
            "version: 1\nfamiliars: {cody: {}}",
            [
                (
                    "2:13 missing-key familiars.cody.model is missing / "
                    "add `model: provider/name`, for instance anthropic/claude-sonnet-4-6"
                )
            ],
        ),
        (
            "version: 1\nfamilars: {cody: {runtime: patch}}",
            [
                (
                    "2:1 unknown-key familars is not a key here / did you mean `familiars`? "
                    "allowed: version, familiars, routing, allow_bots, verify, limits, protect, protect_override, publish, "
                    "memory, hosted"
                )
            ],
        ),
        (
            "version: 1\nfamiliars: {a: {runtime: patch}, b: {runtime: patch}}",
            ["1:1 missing-key routing is missing: with several familiars it says who answers what / add `routing`"],
        ),
    ],
)
def test_a_file_that_lacks_something_is_refused(text, expected):
    assert _tell(text) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2", "is 2 / allowed: 1"),
        ('"1"', 'is the text "1"; write a whole number without quotation marks'),
        ("1.0", 'is "1.0"; write a whole number'),
        ("true", 'is "true"; write a whole number'),
        ("one", 'is "one"; write a whole number'),
        ("", "is empty; write a whole number"),
        ("[1]", "is a list; write a whole number"),
    ],
)
def test_another_version_is_refused(version, expected):
    text = SMALLEST.replace("version: 1", f"version: {version}")

    assert [told.split(" version ")[1] for told in _tell(text)] == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("display_name: 1.0", 'wrong-type display_name is read by YAML as a number; write "1.0" in quotation marks'),
        ("display_name: on", 'wrong-type display_name is read by YAML as true or false; write "on" in quotation marks'),
        ("display_name: 12", 'wrong-type display_name is read by YAML as a number; write "12" in quotation marks'),
        (
            "display_name: 2026-01-01",
            'wrong-type display_name is read by YAML as a date; write "2026-01-01" in quotation marks',
        ),
        ("display_name: [a]", "wrong-type display_name is a list; write text"),
        ("display_name: {a: b}", "wrong-type display_name is a mapping; write text"),
        ("display_name:", "wrong-type display_name is empty; write text"),
        ("display_name: ' '", "invalid-value display_name is empty; a name is 1 to 60 characters on one line"),
        (
            f"display_name: {'x' * 61}",
            "invalid-value display_name is 61 characters long; a name is 1 to 60 characters on one line",
        ),
        (
            'display_name: "a\\e[2Jb"',
            (
                'invalid-value display_name is "a\\x1b[2Jb", which holds invisible characters; '
                "a name is 1 to 60 characters on one line"
            ),
        ),
        (
            'display_name: "\\ud800"',
            (
                'invalid-value display_name is "\\ud800", which holds invisible characters; '
                "a name is 1 to 60 characters on one line"
            ),
        ),
        ("skills: tdd", 'wrong-type skills is "tdd"; write a list'),
        (
            "skills: [tdd, a b]",
            'invalid-value skills[1] is "a b"; a skill is up to 64 letters, digits, dots and hyphens',
        ),
        (f"skills: [{', '.join(['a'] * 101)}]", "out-of-range skills has too many entries; write at most 100"),
        ("assignee: '@me'", 'invalid-value assignee is "@me"; write the login of a GitHub account, without @'),
        (
            f"assignee: {'x' * 40}",
            "invalid-value assignee is 40 characters long; write the login of a GitHub account, without @",
        ),
        ("mode: repiar", 'invalid-value mode is "repiar" / did you mean `repair`? allowed: repair, full'),
        ("runtime: path", 'invalid-value runtime is "path" / did you mean `patch`? allowed: coven-code, patch'),
        ("runtime: [make]", "wrong-type runtime is a list; write text"),
        (
            "runtime: {comand: [make]}",
            "unknown-key runtime.comand is not a key here / did you mean `command`? allowed: command",
        ),
        ("runtime: {}", "missing-key runtime.command is missing / add `command`"),
        ("runtime: {command: make}", 'wrong-type runtime.command is "make"; write a list'),
        ("runtime: {command: []}", "missing-key runtime.command is empty / write at least one entry"),
        (
            "runtime: {command: [make, -1]}",
            'wrong-type runtime.command[1] is read by YAML as a number; write "-1" in quotation marks',
        ),
        (
            "hosts: [a.example.com]",
            (
                "invalid-value hosts is for `mode: full` only / "
                "add `mode: full`, which needs isolation enforced, or remove it"
            ),
        ),
        (
            "id: other",
            "unknown-key id is not a key here / allowed: display_name, model, skills, runtime, mode, hosts, assignee",
        ),
    ],
)
def test_a_wrong_line_of_a_familiar_is_told_with_what_to_write(line, expected):
    told = [re.sub(r"^\d+:\d+ (\S+) familiars\.cody\.", r"\1 ", each) for each in _tell(_with("", familiar=line))]

    assert told == [expected]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("*", "write every host by its whole name: nobody knows what a pattern will match tomorrow"),
        ("*.npmjs.org", "write every host by its whole name: nobody knows what a pattern will match tomorrow"),
        *(
            (name, "write the name alone, in lower-case letters: no scheme, no port, no path and no address")
            for name in (
                "https://a.example.com",
                "a.example.com:443",
                "A.example.com",
                "10.0.0.1",
                "[::1]",
                "a.b/c",
                "a.b.",
            )
        ),
    ],
)
def test_a_host_is_named_exactly(name, advice):
    told = _tell(_with("", familiar="mode: full") + f"    hosts: ['{name}']\n")

    assert told == [f'6:13 invalid-value familiars.cody.hosts[0] is "{name}"; {advice}']


def test_the_patch_runtime_gets_no_shell():
    assert _tell("version: 1\nfamiliars: {a: {runtime: patch, mode: full}}") == [
        "2:39 invalid-value familiars.a.mode is full, and the patch runtime has no shell / remove it"
    ]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("{run: make}", "missing-key verify[0].name is missing / add `name`"),
        ("{name: t}", "missing-key verify[0].run is missing / add `run`"),
        (
            "{name: t, run: ''}",
            "invalid-value verify[0].run is empty; a command is one line for the shell, of at most 2000 characters",
        ),
        (
            '{name: t, run: "a\\nb"}',
            (
                'invalid-value verify[0].run is "a\\nb", which holds invisible characters; '
                "a command is one line for the shell, of at most 2000 characters"
            ),
        ),
        ("{name: t, run: a, timeout: 10 min}", 'invalid-duration verify[0].timeout is "10 min"; write 10m, 90s or 1h'),
        ("{name: t, run: a, network: yes}", 'wrong-type verify[0].network is "yes"; write true or false'),
        (
            "{name: t, run: a, shell: bash}",
            "unknown-key verify[0].shell is not a key here / allowed: name, run, timeout, network",
        ),
        (
            "{name: t, run: a}, {name: t, run: b}",
            'invalid-value verify[1].name is "t" once more / name each check differently',
        ),
    ],
)
def test_a_check_is_told_what_it_lacks(check, expected):
    assert [re.sub(r"^\d+:\d+ ", "", each) for each in _tell(_with(f"verify: [{check}]"))] == [expected]


def test_checks_are_what_the_stages_are_given():
    assert parse_config(GROWN).verify == (
        CheckCommand(name="tests", run="make test", timeout_seconds=1200, network=False),
        CheckCommand(name="audit", run="npm audit && true", timeout_seconds=600, network=True),
    )


@pytest.mark.parametrize("model", ["claude", "/claude", "anthropic/", "Anthropic/claude", "a/b c", "a/../b;", "a//b"])
def test_a_model_is_provider_and_name(model):
    told = _tell(f"version: 1\nfamiliars: {{cody: {{model: '{model}'}}}}")

    assert told == [f'2:27 invalid-value familiars.cody.model is "{model}"; write provider/name']


@pytest.mark.parametrize(
    "familiar_id", ["Cody", "1st", "-a", "a_b", "a b", "a.b", "", "x" * 33, "ä", "a\\n", "[key]", "#rule"]
)
def test_an_id_is_a_short_lower_case_word(familiar_id):
    told = find_mistakes(f'version: 1\nfamiliars: {{"{familiar_id}": {{runtime: patch}}}}')

    assert [(mistake.code, mistake.line, mistake.column) for mistake in told] == [("invalid-value", 2, 13)]


def test_no_familiar_is_called_like_the_command_that_addresses_any():
    assert _tell("version: 1\nfamiliars: {coven: {runtime: patch}}") == [
        (
            '2:13 invalid-value familiars.coven is "coven"; '
            "`/coven` addresses whichever familiar the routing names, so choose another id"
        )
    ]


def test_an_id_that_yaml_reads_as_true_is_told_once():
    assert _tell("version: 1\nfamiliars: {on: {runtime: patch}}") == [
        '2:13 yaml-feature YAML reads the key "on" as true or false / write "on" in quotation marks'
    ]


def test_what_follows_from_an_alias_is_not_told_again():
    text = "version: 1\nfamiliars: {cody: {runtime: patch}}\nlimits: *missing\n"

    assert _tell(text) == ['3:9 yaml-feature the alias "*missing" is not allowed here / write the value out']


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("time: 30", "6:16 invalid-duration limits.time is 30; write 10m, 90s or 1h"),
        ("time: 1:30", "6:16 invalid-duration limits.time is 1:30; write 10m, 90s or 1h"),
        ("time: [30m]", "6:16 wrong-type limits.time is a list; write text"),
        ("time:", "6:15 wrong-type limits.time is empty; write text"),
        (
            "time: 59s",
            '6:16 out-of-range limits.time is "59s"; write 1m to 6h: a job on a GitHub-hosted runner ends after six hours',
        ),
        (
            "time: 7h",
            '6:16 out-of-range limits.time is "7h"; write 1m to 6h: a job on a GitHub-hosted runner ends after six hours',
        ),
        ("patch: 4MB", '6:17 invalid-size limits.patch is "4MB"; write 512KiB or 4MiB'),
        (
            "patch: 101MiB",
            '6:17 out-of-range limits.patch is "101MiB"; write 1KiB to 100MiB: GitHub refuses files above 100 MiB',
        ),
        (
            "turns: 0",
            "6:17 out-of-range limits.turns is 0; write 1 to 500: more turns than that is going round in circles",
        ),
        ("turns: '40'", '6:17 wrong-type limits.turns is the text "40"; write a whole number without quotation marks'),
        ("turns: 1e2", '6:17 wrong-type limits.turns is "1e2"; write a whole number'),
        ("turns: 040", '6:17 wrong-type limits.turns is "040"; write a whole number'),
        ("turns: yes", '6:17 wrong-type limits.turns is "yes"; write a whole number'),
        ("turns: true", '6:17 wrong-type limits.turns is "true"; write a whole number'),
        (
            "attempts: 6",
            "6:20 out-of-range limits.attempts is 6; write 1 to 5: what five attempts did not mend, a sixth will not",
        ),
        ("cost: 5", "6:16 invalid-money limits.cost is 5; write 5 USD or 0.50 USD"),
        ("cost: 5 EUR", '6:16 invalid-money limits.cost is "5 EUR"; write 5 USD or 0.50 USD'),
        ("cost: 0.5 USD", '6:16 invalid-money limits.cost is "0.5 USD"; write 5 USD or 0.50 USD'),
        (
            "cost: 0 USD",
            '6:16 out-of-range limits.cost is "0 USD"; write 0.01 USD to 10000 USD: more than that is no limit',
        ),
        (
            "files: 3001",
            "6:17 out-of-range limits.files is 3001; write 1 to 3000: GitHub lists no more files of a pull request",
        ),
        (
            "lines: 0",
            "6:17 out-of-range limits.lines is 0; write 1 to 1000000: nobody reviews more lines than that",
        ),
        (
            "lines: 1000001",
            "6:17 out-of-range limits.lines is 1000001; write 1 to 1000000: nobody reviews more lines than that",
        ),
        ("lines: 20_000", '6:17 wrong-type limits.lines is "20_000"; write a whole number'),
        (
            "binary_files: -1",
            (
                "6:24 out-of-range limits.binary_files is -1; write 0 to 3000: "
                "GitHub lists no more files of a pull request"
            ),
        ),
        (
            "binary_files: 3001",
            (
                "6:24 out-of-range limits.binary_files is 3001; write 0 to 3000: "
                "GitHub lists no more files of a pull request"
            ),
        ),
        ("binary_files: none", '6:24 wrong-type limits.binary_files is "none"; write a whole number'),
        (
            "binary-files: 3",
            (
                "6:10 unknown-key limits.binary-files is not a key here / did you mean `binary_files`? "
                "allowed: time, turns, files, lines, binary_files, patch, attempts, cost, per_day"
            ),
        ),
    ],
)
def test_a_limit_is_within_bounds_that_have_a_reason(limits, expected):
    assert _tell(_with(f"limits: {{{limits}}}")) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("publish: {labels: coven}", '6:19 wrong-type publish.labels is "coven"; write a list'),
        (
            "publish: {labels: [1]}",
            '6:20 wrong-type publish.labels[0] is read by YAML as a number; write "1" in quotation marks',
        ),
        (
            f"publish: {{labels: [{'x' * 51}]}}",
            "6:20 invalid-value publish.labels[0] is 51 characters long; a label is 1 to 50 characters on one line",
        ),
        ("publish:", "6:9 wrong-type publish is empty; write a mapping"),
        ("allow_bots: [dependabot]", '6:14 wrong-type allow_bots[0] is "dependabot"; write a whole number'),
        (
            "allow_bots: [-1]",
            "6:14 out-of-range allow_bots[0] is -1; write 1 to 9007199254740991: the numeric id of a bot's account",
        ),
    ],
)
def test_other_values_are_told_too(lines, expected):
    assert _tell(_with(lines)) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("protect: migrations", '6:10 wrong-type protect is "migrations"; write a list'),
        ("protect: [1]", '6:11 wrong-type protect[0] is read by YAML as a number; write "1" in quotation marks'),
        ('protect: [a, ""]', f"6:14 invalid-value protect[1] is empty; {PATTERN_ADVICE}"),
        ('protect: ["!a"]', f'6:11 invalid-value protect[0] is "!a"; {PATTERN_ADVICE}'),
        ('protect: ["a/"]', f'6:11 invalid-value protect[0] is "a/"; {PATTERN_ADVICE}'),
        ('protect: ["src/{a,b}/**"]', f'6:11 invalid-value protect[0] is "src/{{a,b}}/**"; {PATTERN_ADVICE}'),
        ('protect: ["**.sql"]', f'6:11 invalid-value protect[0] is "**.sql"; {PATTERN_ADVICE}'),
        (f"protect: [{'x' * 201}]", f"6:11 invalid-value protect[0] is 201 characters long; {PATTERN_ADVICE}"),
        (
            'protect: ["\\uff0a.sql"]',
            (
                '6:11 invalid-value protect[0] is "\uff0a.sql"; it holds characters that some file systems '
                "take for others; write them as they are compared"
            ),
        ),
        (f"protect: [{', '.join(['a'] * 101)}]", "6:10 out-of-range protect has too many entries; write at most 100"),
        ("protect_override: [AGENTS.md]", '6:20 wrong-type protect_override[0] is "AGENTS.md"; write a mapping'),
        (
            "protect_override: [{path: AGENTS.md}]",
            "6:20 missing-key protect_override[0].reason is missing / add `reason`",
        ),
        ("protect_override: [{reason: x}]", "6:20 missing-key protect_override[0].path is missing / add `path`"),
        (
            "protect_override: [{path: AGENTS.md, reason: ' '}]",
            "6:46 invalid-value protect_override[0].reason is empty; say in a line of at most 200 characters why",
        ),
        (
            "protect_override: [{path: AGENTS.md, reasn: x}]",
            (
                "6:38 unknown-key protect_override[0].reasn is not a key here / "
                "did you mean `reason`? allowed: path, reason"
            ),
        ),
        (
            "protect_override: [{path: .github/**, reason: x}]",
            (
                '6:27 invalid-value protect_override[0].path is ".github/**"; '
                "it covers .github/coven.yml, which no override opens; name less"
            ),
        ),
        (
            "protect_override: [{path: a, reason: x}, {path: .git/config, reason: x}]",
            (
                '6:49 invalid-value protect_override[1].path is ".git/config"; '
                "it covers .git, which no override opens; name less"
            ),
        ),
        (
            "protect_override: [{path: 'a/**b', reason: x}]",
            f'6:27 invalid-value protect_override[0].path is "a/**b"; {PATTERN_ADVICE}',
        ),
    ],
)
def test_a_wrong_line_about_protected_paths_is_told(lines, expected):
    assert _tell(_with(lines)) == [expected]


@pytest.mark.parametrize(
    "scopes", ["read: [repo], write: [repo]", "read: [repo], write: []", "write: [repo]", "read: []"]
)
def test_what_may_be_proposed_may_be_read(scopes):
    memory = parse_config(_with(f"memory: {{{scopes}}}")).memory

    assert memory.read == (() if scopes == "read: []" else ("repo",))


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("", "6:8 wrong-type memory is empty; write a mapping"),
        ("on", '6:9 wrong-type memory is "on"; write a mapping'),
        ("{enabled: yes}", '6:19 wrong-type memory.enabled is "yes"; write true or false'),
        ("{enabled: 1}", '6:19 wrong-type memory.enabled is "1"; write true or false'),
        ('{separate_approver: "true"}', '6:29 wrong-type memory.separate_approver is "true"; write true or false'),
        ("{read: repo}", '6:16 wrong-type memory.read is "repo"; write a list'),
        (
            "{read: [tenant]}",
            (
                '6:17 invalid-value memory.read[0] is "tenant" / '
                "did you mean `tenant_shared`? allowed: repo, tenant_shared"
            ),
        ),
        (
            "{read: [familiar_global]}",
            '6:17 invalid-value memory.read[0] is "familiar_global" / allowed: repo, tenant_shared',
        ),
        (
            "{read: [], write: [repo]}",
            (
                "6:28 invalid-value memory.write[0] is repo, which `read` does not hold / "
                "a write scope is never wider than the read scope"
            ),
        ),
        (
            "{approval: never}",
            '6:20 invalid-value memory.approval is "never" / allowed: required, automatic',
        ),
        (
            "{retention: {max_age: 23h}}",
            (
                '6:31 out-of-range memory.retention.max_age is "23h"; '
                "write 1d to 3650d: after ten years nobody knows who approved it"
            ),
        ),
        (
            "{retention: {unusd: 90d}}",
            (
                "6:22 unknown-key memory.retention.unusd is not a key here / "
                "did you mean `unused`? allowed: max_age, unused"
            ),
        ),
        (
            "{scope: repo}",
            (
                "6:10 unknown-key memory.scope is not a key here / "
                "allowed: enabled, read, write, approval, separate_approver, retention"
            ),
        ),
    ],
)
def test_a_wrong_line_about_memory_is_told(memory, expected):
    assert _tell(_with(f"memory: {memory}")) == [expected]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("[]", ["6:10 missing-key routing is empty / write at least one entry"]),
        ("later", ['6:10 wrong-type routing is "later"; write a list']),
        ("[later]", ['6:11 wrong-type routing[0] is "later"; write a mapping']),
        (
            "[{}]",
            [
                "6:11 missing-key routing[0].when is missing / add `when`",
                "6:11 missing-key routing[0].familiar is missing / add `familiar`",
            ],
        ),
        ("[{when: {}, familiar: cody}]", ["6:18 missing-key routing[0].when is empty / write `label` or `assignee`"]),
        ("[{when: , familiar: cody}]", ["6:17 wrong-type routing[0].when is empty; write a mapping"]),
        (
            "[{when: {label: x}, familiar: codi}]",
            ['6:40 unknown-familiar routing[0].familiar is "codi" / did you mean `cody`? allowed: cody'],
        ),
        ("[{when: {label: x}, familiar: [cody]}]", ["6:40 wrong-type routing[0].familiar is a list; write text"]),
        (
            "[{when: {assignee: somebody}, familiar: cody}]",
            [
                (
                    '6:29 unknown-assignee routing[0].when.assignee is "somebody", the assignee of no familiar / '
                    "write the machine account as `assignee` of a familiar"
                )
            ],
        ),
        (
            "[{when: {lable: x}, familiar: cody}]",
            [
                "6:19 unknown-key routing[0].when.lable is not a key here / did you mean `label`? allowed: label, assignee"
            ],
        ),
        (
            "[{otherwse: decline}]",
            ["6:12 unknown-key routing[0].otherwse is not a key here / did you mean `otherwise`? allowed: otherwise"],
        ),
        (
            "[{otherwise: decline, familiar: cody}]",
            [
                "6:11 missing-key routing[0].when is missing / add `when`",
                "6:12 unknown-key routing[0].otherwise is not a key here / allowed: when, familiar, task",
            ],
        ),
        (
            "[{otherwise: decline}, {otherwise: decline}]",
            [
                (
                    "6:33 unreachable-rule routing[1] is never reached: routing[0] answers all of it first / "
                    "move it up or remove it"
                )
            ],
        ),
        (
            "[{when: {label: x}, familiar: cody}, {when: {label: X}, familiar: cody}]",
            [
                (
                    "6:47 unreachable-rule routing[1] is never reached: routing[0] answers all of it first / "
                    "move it up or remove it"
                )
            ],
        ),
        ("[{when: {label: x}, familiar: cody}, {when: {label: y}, familiar: cody}, {otherwise: decline}]", []),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rules, expected):
    assert _tell(_with(f"routing: {rules}")) == expected


def test_an_assignee_of_another_familiar_is_suggested():
    text = GROWN.replace("ACME-coven", "acme-covn")

    assert _tell(text) == [
        (
            '15:23 unknown-assignee routing[2].when.assignee is "acme-covn", the assignee of no familiar / '
            "did you mean `acme-coven`? allowed: acme-coven"
        )
    ]


def test_a_narrower_rule_may_stand_before_a_wider_one_but_not_behind():
    narrow = "{when: {label: x, assignee: acme-coven}, familiar: cody}"
    wide = "{when: {label: x}, familiar: cody}"

    assert not find_mistakes(_with(f"routing: [{narrow}, {wide}]", familiar="assignee: acme-coven"))
    assert [m.code for m in find_mistakes(_with(f"routing: [{wide}, {narrow}]", familiar="assignee: acme-coven"))] == [
        "unreachable-rule"
    ]


@pytest.mark.parametrize("path", NOT_YET, ids=".".join)
def test_a_planned_key_is_refused_with_where_it_is_planned(path):
    """The configuration never accepts a promise."""
    text = _write_planned(path)

    told = [mistake for mistake in find_mistakes(text) if mistake.code != "missing-key"]

    assert [(mistake.code, mistake.note) for mistake in told] == [("not-yet", f"planned: {NOT_YET[path]}")]


def _write_planned(path):
    """Return a configuration in flow style that holds the planned key at `path`."""
    value = path[-1].removeprefix("=") if path[-1].startswith("=") else "1"
    keys = path[:-1] if path[-1].startswith("=") else path
    for key in reversed(keys[1:]):
        if keys[0] == "memory":
            value = f"[{value}]" if key == ANY else f"{{{key}: {value}}}"
        elif keys[0] == "routing":
            others = {"when": ", familiar: cody", "otherwise": "", "task": ", when: {label: x}, familiar: cody"}
            value = f"[{value}]" if key == ANY else f"{{{key}: {value}{others.get(key, '')}}}"
        else:
            value = f"{{cody: {value}}}" if key == ANY else f"{{{key}: {value}}}"
    start = "version: 1\n" if keys[0] == "familiars" else SMALLEST
    return f"{start}{keys[0]}: {value}\n"


def test_no_planned_key_is_accepted_already():
    """A row of the table and a field of the models would contradict each other."""
    fields = {
        (*(part for part in path if not part.startswith("#")), key)
        for path, model in SECTIONS.items()
        for key in model.model_fields
    }

    assert not fields & set(NOT_YET)


def test_only_the_planned_value_of_a_key_is_planned():
    assert find_plan(("routing", 0, "task"), "fix") is None
    assert find_plan(("routing", 0, "task"), "review") is not None
    assert find_plan(("task",), "review") is None


def test_every_mistake_of_a_file_is_told_at_once_in_its_order():
    text = GROWN.replace("version: 1", "version: 2").replace("45m", "45").replace("turns: 60", "turns: 0")
    text = text.replace("familiar: loom", "familiar: lom").replace("task: fix", "task: review")

    mistakes = find_mistakes(text + "verify: []\n")

    assert [mistake.code for mistake in mistakes] == [
        "invalid-value", "not-yet", "unknown-familiar", "invalid-duration", "out-of-range", "duplicate-key",
    ]  # fmt: skip
    assert [(m.line, m.column) for m in mistakes] == sorted((m.line, m.column) for m in mistakes)


def test_text_of_the_file_reaches_no_terminal_raw():
    error = InvalidConfigError(find_mistakes('"a\\e]0;x\\a": 1\nlimits: {"\\u202e": "\\e[2J"}\n'), path="coven.yml")

    assert all(character.isprintable() or character == "\n" for character in error.diagnostics())


def test_every_code_is_explained():
    folder = Path(__file__).parents[3] / "src/coven_action/core/configuration"
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    codes = set(
        re.findall(r'(?:Finding|Mistake|build_refusal|_refuse|Quantity|PydanticCustomError)\(\s*"([a-z-]+)"', source)
    )

    assert len(codes) > 12
    assert codes <= set(CODES)


def _check_mistakes(text):
    """The law: a value, or a list of mistakes with known codes at places inside the text; never anything else."""
    lines = re.split(r"\r?\n", text.removeprefix("\ufeff"))
    mistakes = find_mistakes(text)
    if not mistakes:
        config = parse_config(text)
        assert config.familiars
        assert all(config.familiar(rule.familiar) for rule in config.rules)
        return
    with pytest.raises(InvalidConfigError) as caught:
        parse_config(text)
    assert caught.value.mistakes == mistakes
    assert {mistake.code for mistake in mistakes} <= set(CODES)
    assert all(1 <= mistake.column <= len(lines[mistake.line - 1]) + 1 for mistake in mistakes)
    assert all(character.isprintable() or character == "\n" for character in caught.value.diagnostics())


@given(st.text(max_size=300))
@examples(100)
def test_any_text_gives_a_configuration_or_its_mistakes(text):
    _check_mistakes(text)


PIECES = [
    *sorted(set(re.findall(r"\w+|\s+|[^\w\s]", GROWN))),
    "on", "1.0", "~", "&a ", "*a", "!!str ", "<<", "[key]", '"#rule"', '"#command"', "null", "\x1b", "\u202e", "full",
    "review", "triage", "verify", "otherwise", "when: {}", "{}", "[]", "? ", "---\n", "\t", '"\\ud800"', "9" * 30,
]  # fmt: skip


@given(st.data())
@examples(200)
def test_a_mutated_configuration_gives_a_configuration_or_its_mistakes(data):
    tokens = re.findall(r"\w+|\s+|[^\w\s]", GROWN)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(tokens) - 1))
        stop = data.draw(st.integers(start, min(start + 3, len(tokens))))
        tokens[start:stop] = data.draw(st.lists(st.sampled_from(PIECES), max_size=2))

    _check_mistakes("".join(tokens))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limits: {per_day: 5}", ["6:19 missing-key limits.per_day is counted by the endpoint"]),
        ("memory: {read: [tenant_shared]}", ["6:17 missing-key memory.read[0] is kept by the endpoint"]),
        ("limits: {per_day: 0}\nhosted: {url: 'https://a'}", ["6:19 out-of-range limits.per_day is 0"]),
        ("hosted: {}", ["6:1 missing-key hosted.url is missing"]),
        ("hosted: {url: 'http://coven.example.com'}", ["6:15 invalid-value hosted.url is"]),
        ("hosted: {url: 'https://coven.example.com/'}", ["6:15 invalid-value hosted.url is"]),
        ("hosted: {url: 'https://Coven.example.com'}", ["6:15 invalid-value hosted.url is"]),
        ("hosted: {url: 'https://me@coven.example.com'}", ["6:15 invalid-value hosted.url is"]),
        ("hosted: {url: 'https://a', oversight_url: 'https://a/runs'}", ["6:43 invalid-value hosted.oversight_url is"]),
    ],
)
def test_a_wrong_line_about_the_endpoint_is_told(text, expected):
    told = _tell("version: 1\nfamiliars:\n  cody:\n    runtime: patch\n\n" + text)

    assert len(told) == len(expected)
    assert all(line.startswith(start) for line, start in zip(told, expected, strict=True)), told
