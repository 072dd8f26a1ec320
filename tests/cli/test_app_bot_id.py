"""The input `app-bot-id`: whose account an App writes with is a number, and it reaches the stages that write."""

import pytest

from coven_action.cli import stage
from coven_action.core.stage_environment import APP_BOT_ID, STAGE_VARIABLES, TOKEN
from coven_action.errors import EnvironmentFault
from tests.cli.jobs import JOB
from tests.scenario import CONFIGURATION, Scene

WITH_TOKEN = {**JOB, TOKEN: "ghs_" + "0" * 36}


@pytest.mark.parametrize(("given", "read"), [("", None), ("1", 1), (str(2**63 - 1), 2**63 - 1)])
def test_an_id_is_a_number_or_left_out(given, read):
    assert stage._read_app_bot_id({APP_BOT_ID: given}) == read
    assert stage._read_app_bot_id({}) is None


WRONG = ["0", "-1", "1.0", "acme-coven[bot]", " 7", "7 ", "\N{ARABIC-INDIC DIGIT SEVEN}", "²", str(2**63), "9" * 5000]


@pytest.mark.parametrize("given", WRONG, ids=range(len(WRONG)))
def test_anything_else_is_refused(given):
    with pytest.raises(EnvironmentFault) as caught:
        stage._read_app_bot_id({APP_BOT_ID: given})
    assert caught.value.code == "app-bot-id"


def test_the_stages_that_write_see_it_and_no_other():
    assert {name for name, variables in STAGE_VARIABLES.items() if APP_BOT_ID in variables} == {"plan", "publish"}


def test_an_event_of_the_named_account_is_our_own(github, tmp_path):
    bot = github.world.add_user("acme-coven[bot]", kind="Bot")
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + f"allow_bots: [{bot.id}]\n")
    run = scene.start(scene.label(scene.open_issue(), sender=bot))
    run.environment[APP_BOT_ID] = str(bot.id)

    assert run.finish_as_processes() == 0
    assert run.outputs["decision"] == "decline"
    assert "own-event" in run.summary


def test_publish_takes_what_the_account_did_for_its_own(monkeypatch, tmp_path):
    seen = []

    def publish(task, *, digests, ports):
        seen.append((ports.app_bot_id, ports.writer._own_ids))
        return 0

    monkeypatch.setattr("coven_action.stages.publish.publish", publish)
    for name, value in {**WITH_TOKEN, "RUNNER_TEMP": str(tmp_path), APP_BOT_ID: "4711"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        stage.publish.callback()

    assert ended.value.code == 0
    assert seen == [(4711, {41898282, 4711})]
