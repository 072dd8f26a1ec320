"""Whose deeds count as ours: GITHUB_TOKEN's account, and the bot of the customer's own App where the workflow names it."""

import pytest

from coven_action.core.trust.events import Actor
from coven_action.core.trust.trust import GITHUB_ACTIONS_BOT_ID, OWN_IDS, decide_sender, list_own_ids

APP_BOT_ID = 4711


def test_without_an_app_there_is_one_account_of_ours():
    assert list_own_ids(None) == OWN_IDS == {GITHUB_ACTIONS_BOT_ID}


def test_an_app_adds_its_own_account_and_takes_none_away():
    assert list_own_ids(APP_BOT_ID) == {GITHUB_ACTIONS_BOT_ID, APP_BOT_ID}


@pytest.mark.parametrize("sender_id", [GITHUB_ACTIONS_BOT_ID, APP_BOT_ID])
@pytest.mark.parametrize("kind", ["Bot", "User"])
def test_what_either_account_did_starts_nothing_even_where_it_is_listed(sender_id, kind):
    sender = Actor(id=sender_id, login="acme-coven[bot]", type=kind)

    refusal = decide_sender(sender, allow_bots=(sender_id,), app_bot_id=APP_BOT_ID)

    assert (refusal.code, refusal.quiet) == ("own-event", True)


def test_another_bot_is_judged_as_before():
    other = Actor(id=APP_BOT_ID + 1, login="acme-coven[bot]", type="Bot")

    assert decide_sender(other, allow_bots=(), app_bot_id=APP_BOT_ID).code == "bot-not-listed"
    assert decide_sender(other, allow_bots=(other.id,), app_bot_id=APP_BOT_ID) is None
