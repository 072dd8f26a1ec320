"""The settings of the endpoint: from a file, the environment and the command line, and what is refused."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from coven_action.cli.serve import command as serve
from coven_action.core.endpoint.caps import TIERS, Caps
from coven_action.errors import EnvironmentFault
from coven_action.hosted.settings import GITHUB_ISSUER, Settings
from coven_action.hosted.settings_file import MAX_BYTES, find_line, read_settings_file
from coven_action.hosted.tier_settings import TierChanges, TierSettings

WHOLE = """
# A deployment
data = "/var/lib/coven/coven.db"
host = "0.0.0.0"
port = 9000
public_url = "https://coven.example.com"
issuers = ["https://token.actions.githubusercontent.com", "https://ghes.example.com=501"]
require_separate_approver = true
min_free_disk_percent = 10
replicas = 3

[tiers.open]
tasks_per_day = 20
familiars = "unlimited"

[tiers.team]
requests_per_minute = 60
soft_percent = 50
"""


def write(tmp_path, text):
    path = tmp_path / "coven.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_whole_file_is_read(tmp_path):
    settings = Settings.from_environment({}, read_settings_file(write(tmp_path, WHOLE)))

    assert settings.data == Path("/var/lib/coven/coven.db")
    assert (settings.port, settings.replicas, settings.min_free_disk_percent) == (9000, 3, 10)
    assert settings.issuers[1] == "https://ghes.example.com=501"
    tiers = settings.tiers.build()
    assert tiers["open"] == TIERS["open"].model_copy(update={"tasks_per_day": 20, "familiars": None})
    assert (tiers["team"].requests_per_minute, tiers["team"].soft_percent) == (60, 50)
    assert tiers["dedicated"] == TIERS["dedicated"]


def test_options_come_before_the_environment_and_that_before_the_file(tmp_path):
    written = read_settings_file(write(tmp_path, 'data = "file.db"\nport = 1\nhost = "::1"\nreplicas = 2'))
    settings = Settings.from_environment({"COVEN_PORT": "2", "COVEN_HOST": "127.0.0.2"}, written, host="127.0.0.3")

    assert (settings.host, settings.port, settings.replicas) == ("127.0.0.3", 2, 2)


@pytest.mark.parametrize(
    ("environment", "given"), [({"DATABASE_URL": "postgresql://db/coven"}, {}), ({}, {"data": Path("mine.db")})]
)
def test_a_database_of_the_file_gives_way_to_another_one(tmp_path, environment, given):
    written = read_settings_file(write(tmp_path, 'data = "file.db"'))
    settings = Settings.from_environment(environment, written, **given)

    assert settings.data != Path("file.db")
    assert (settings.data is None) == bool(environment)


GHES = "https://ghes.example.com/_services/token"
WRITTEN = {
    "lines": f'issuers = ["{GITHUB_ISSUER}", "{GHES}=501"]',
    "a line and a table": f'issuers = ["{GITHUB_ISSUER}", {{ url = "{GHES}", account_id = 501 }}]',
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_an_issuer_of_somebody_s_own_is_bound_however_it_is_written(tmp_path, text):
    written = read_settings_file(write(tmp_path, f'data = "x"\n{text}'))

    assert Settings.from_environment({}, written).issuers == (GITHUB_ISSUER, f"{GHES}=501")


def test_an_issuer_of_somebody_s_own_may_have_a_table_of_its_own(tmp_path):
    text = f'data = "x"\n[[issuers]]\nurl = "{GHES}"\naccount_id = 501\n'

    assert Settings.from_environment({}, read_settings_file(write(tmp_path, text))).issuers == (f"{GHES}=501",)


def test_issuers_are_read_from_the_environment_with_whom_they_speak_for():
    environment = {"COVEN_DATA": "x", "COVEN_ISSUERS": f"{GITHUB_ISSUER} {GHES}=501"}

    assert Settings.from_environment(environment).issuers == (GITHUB_ISSUER, f"{GHES}=501")


UNBOUND = {
    "the environment": ({"COVEN_ISSUERS": f"{GITHUB_ISSUER} {GHES}"}, {}),
    "an option": ({}, {"issuers": (GHES,)}),
    "bound to a name": ({}, {"issuers": (f"{GHES}=acme",)}),
}


@pytest.mark.parametrize(("environment", "given"), UNBOUND.values(), ids=UNBOUND)
def test_an_issuer_that_could_speak_for_anybody_is_refused_in_one_line(environment, given):
    with pytest.raises(EnvironmentFault, match=r"The setting issuers: .*account") as raised:
        Settings.from_environment({"COVEN_DATA": "x", **environment}, **given)

    assert raised.value.code == "invalid-setting"
    assert "\n" not in raised.value.message


def test_serve_does_not_start_with_an_issuer_that_could_speak_for_anybody(tmp_path):
    result = CliRunner().invoke(serve, ["--data", str(tmp_path / "x.db"), "--issuer", GHES])

    assert isinstance(result.exception, EnvironmentFault)
    assert not (tmp_path / "x.db").exists()


MISTAKES = {
    f'data = "x"\nissuers = ["{GHES}"]\n': (2, "issuers"),
    f'data = "x"\nissuers = [{{ url = "{GHES}" }}]\n': (2, "issuers"),
    f'data = "x"\nissuers = [{{ url = "{GHES}", account_id = 0 }}]\n': (2, "issuers"),
    f'data = "x"\nissuers = [{{ url = "{GHES}", account_id = 501, tenant = 1 }}]\n': (2, "issuers"),
    f'data = "x"\n\n[[issuers]]\nurl = "{GHES}"\n': (3, "issuers"),
    'data = "x"\n\nprot = 1\n': (3, "prot"),
    "[tiers.open]\ntasks_per_day = 1\n[tiers.open2]\ntasks_per_day = 1\n": (3, "tiers.open2"),
    "[tiers.team]\n# fewer\ntasks = 1\n": (3, "tiers.team.tasks"),
    "tiers = { team = { tasks = 1 } }\n": (1, "tiers.team.tasks"),
    "tiers.team.tasks = 1\n": (1, "tiers.team.tasks"),
    '"tiers"."team"."tasks" = 1\n': (1, "tiers.team.tasks"),
    "port = 70000\n": (1, "port"),
    'data = "x"\nport = "many"\n': (2, "port"),
    "[tiers.open]\n\nhistory_days = 0\n": (3, "tiers.open.history_days"),
    '[tiers.open]\nhistory_days = "unlimited"\n': (2, "tiers.open.history_days"),
    "[tiers.open]\nrequests_per_minute = 0\n": (2, "tiers.open.requests_per_minute"),
    '[tiers.open]\nfamiliars = "many"\n': (2, "tiers.open.familiars"),
    "[tiers.open]\nsoft_percent = 101\n": (2, "tiers.open.soft_percent"),
    "[tiers]\nopen = 3\n": (2, "tiers.open"),
    "replicas = 0\n": (1, "replicas"),
    "min_free_disk_percent = 99\n": (1, "min_free_disk_percent"),
    'default_tier = "team"\n': (1, "default_tier"),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.items())
def test_a_mistake_is_told_with_its_line_and_key(tmp_path, text, told):
    path = write(tmp_path, text)

    with pytest.raises(EnvironmentFault) as raised:
        read_settings_file(path)

    line, key = told
    assert raised.value.code == "invalid-setting"
    assert raised.value.place == f"{path}:{line}"
    assert key in raised.value.message


def test_an_unknown_key_is_told_with_those_there_are(tmp_path):
    with pytest.raises(EnvironmentFault) as raised:
        read_settings_file(write(tmp_path, "[tiers.open]\ntasks = 1"))

    assert raised.value.remedy == f"There are: {', '.join(Caps.model_fields)}."


@pytest.mark.parametrize(
    "content",
    ["port 1", 'data = "\n', b"\xff\xfe", "#" * (MAX_BYTES + 1), None],
    ids=["no TOML", "open", "no text", "large", "none"],
)
def test_what_is_no_settings_file_is_refused(tmp_path, content):
    path = tmp_path / "missing.toml" if content is None else write(tmp_path, content)

    with pytest.raises(EnvironmentFault) as raised:
        read_settings_file(path)

    assert raised.value.code == "invalid-setting"
    assert raised.value.place == str(path)


def test_a_password_in_a_mistake_is_not_repeated(tmp_path):
    with pytest.raises(EnvironmentFault) as raised:
        read_settings_file(write(tmp_path, 'database_url = ["postgresql://coven:hunter2@db/coven"]'))

    assert "hunter2" not in raised.value.diagnostics()


def test_serve_takes_the_file_and_says_what_is_wrong_with_it(tmp_path):
    path = write(tmp_path, "prot = 1")

    with pytest.raises(EnvironmentFault, match="prot"):
        CliRunner().invoke(serve, ["--config", str(path)], catch_exceptions=False)
    with pytest.raises(EnvironmentFault, match="prot"):
        CliRunner().invoke(serve, [], env={"COVEN_CONFIG": str(path)}, catch_exceptions=False)


def test_every_cap_can_be_replaced():
    assert TierChanges.model_fields.keys() == Caps.model_fields.keys()
    assert TierSettings.model_fields.keys() == TIERS.keys()


@given(
    key=st.text("abc_", min_size=1, max_size=5),
    table=st.lists(st.text("xyz", min_size=1, max_size=3), max_size=2),
    before=st.lists(st.sampled_from(["", "# a comment", "other = 1", "[elsewhere]"]), max_size=5),
)
def test_the_line_of_a_key_is_the_one_it_stands_on(key, table, before):
    header = [f"[{'.'.join(table)}]"] if table else []
    lines = [*([] if not table else before), *header, f"{key} = 1"]
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    assert find_line(text, (*table, key)) == len(lines)


def test_the_example_of_the_document_is_a_settings_file(tmp_path):
    document = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    example = document.partition("```toml\n")[2].partition("```")[0]

    settings = Settings.from_environment({}, read_settings_file(write(tmp_path, example)))

    assert settings.public_url == "https://coven.example.com"
    assert settings.tiers.open.tasks_per_day == 20


def test_every_setting_stands_in_the_document():
    document = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")

    for name in (*Settings.model_fields, *Caps.model_fields):
        assert f"| `{name}` |" in document
