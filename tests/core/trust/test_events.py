"""Webhook payloads: what starts a familiar, and what a mutilated payload does (nothing, and never a crash)."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import (
    MAXIMUM_COMMAND_LENGTH,
    READERS,
    Actor,
    Command,
    TriggerEvent,
    parse_command,
    parse_event,
)
from coven_action.errors import EventError
from tests import payloads
from tests.core.samples import commented, dispatched, labeled, read_event
from tests.fuzzing import examples

REAL = {
    "issues.labeled": ("issues", payloads.build_issues_labeled()),
    "issues.assigned": ("issues", payloads.build_issues_assigned()),
    "issue_comment": ("issue_comment", payloads.build_issue_comment_created("/coven fix it", pull_request=True)),
    "workflow_dispatch": ("workflow_dispatch", payloads.build_workflow_dispatch()),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
# The values that most often pass where they should not.
ODD = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**63, 10**4000, 1.0, float("nan"), "", "1", "\ud800", [], {}, [{}]]
)


def walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from walk(inner, (*path, key))


def replace(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(payload)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def remove(payload: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(payload)
    place = changed
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return changed


def read_or_refuse(event_name: str, payload: Any) -> None:
    """Every way out that there is: an event, a refusal, or our error."""
    try:
        answer = parse_event(event_name, payload)
    except EventError as error:
        assert error.code == "malformed-event"  # noqa: PT017 - an event or a refusal is an equally good answer
    else:
        assert isinstance(answer, TriggerEvent | Refusal)


def test_a_label_on_an_issue_is_read_with_its_frozen_text():
    event = labeled(title="Wrong total", body="Half up.", sender="ada", sender_id=7)

    assert (event.described, event.label, event.thread_number) == ("issues.labeled", "coven:fix", 42)
    assert (event.sender.login, event.sender.id, event.sender.is_bot) == ("ada", 7, False)
    assert event.repository.id == payloads.REPOSITORY_ID
    assert event.repository.full_name == "acme/billing"
    assert event.repository.visibility == "public"
    assert event.assignee_login is None
    assert event.thread is not None
    assert (event.thread.title, event.thread.body, event.thread.is_pull_request) == ("Wrong total", "Half up.", False)


def test_an_assignment_names_who_was_assigned():
    event = read_event("issues", payloads.build_issues_assigned("cody-bot", 601))

    assert event.described == "issues.assigned"
    assert event.assignee_login == "cody-bot"
    assert event.assignee is not None
    assert event.assignee.id == 601


def test_a_command_on_a_pull_request_is_known_to_be_on_one():
    event = commented("/cody fix rename it", pull_request=True)

    assert event.command == Command(addressee="cody", verb="fix")
    assert event.thread is not None
    assert event.thread.is_pull_request
    assert event.comment is not None
    assert event.comment.body == "/cody fix rename it"


def test_an_issue_cannot_claim_to_be_a_pull_request_by_a_field_of_our_own_name():
    payload = payloads.build_issues_labeled()
    payload["issue"]["is_pull_request"] = True

    thread = read_event("issues", payload).thread
    assert thread is not None
    assert not thread.is_pull_request


def test_a_dispatch_has_a_number_and_no_thread_yet():
    event = dispatched(issue="42")

    assert (event.described, event.thread_number, event.thread) == ("workflow_dispatch", 42, None)


def test_an_issue_without_a_text_has_an_empty_one():
    thread = labeled(body=None).thread

    assert thread is not None
    assert thread.body == ""


@pytest.mark.parametrize(
    ("kind", "is_bot"),
    [("User", False), ("Bot", True), ("Organization", True), ("Mannequin", True), ("", True), ("user", True)],
)
def test_only_what_github_calls_a_user_is_taken_for_a_person(kind, is_bot):
    assert Actor(id=1, login="dependabot[bot]", type=kind).is_bot is is_bot


def test_an_account_of_unknown_type_is_not_taken_for_a_person():
    assert Actor(id=1, login="ada").is_bot


@pytest.mark.parametrize(
    "number", ["", "0", "007", "-1", "4.0", "1e3", "42\n", " 42", "٤٢", "1" * 10, None, True, [], {}]
)
def test_a_dispatch_without_the_number_of_an_issue_is_refused(number):
    payload = {**payloads.build_workflow_dispatch(), "inputs": {"issue": number}}
    answer = parse_event("workflow_dispatch", payload)

    assert isinstance(answer, Refusal)
    assert answer.code == "dispatch-without-issue"
    assert not answer.quiet


@pytest.mark.parametrize("inputs", [None, "42", [], {}, 7])
def test_a_dispatch_without_inputs_is_refused(inputs):
    answer = parse_event("workflow_dispatch", {**payloads.build_workflow_dispatch(), "inputs": inputs})

    assert isinstance(answer, Refusal)
    assert answer.code == "dispatch-without-issue"


@pytest.mark.parametrize(
    ("event_name", "action"),
    [
        ("push", ""), ("issues", "opened"), ("issues", "LABELED"), ("issues", None), ("issues", ["labeled"]),
        ("issues", {"a": 1}), ("issues", True), ("issue_comment", "edited"), ("issue_comment", "deleted"),
        ("pull_request_target", "labeled"), ("workflow_dispatch", "created"), ("issues", "\ud800"), ("", ""),
        ("x" * 5000, "y" * 5000),
    ],
)  # fmt: skip
def test_any_other_event_starts_nothing_and_is_told_quietly(event_name, action):
    answer = parse_event(event_name, {**payloads.build_issues_labeled(), "action": action})

    assert isinstance(answer, Refusal)
    assert (answer.code, answer.quiet) == ("unsupported-event", True)
    assert "issues.labeled" in answer.remedy
    assert len(answer.reason) < 600


def test_the_answered_events_are_exactly_these():
    assert set(READERS) == {
        ("issues", "labeled"),
        ("issues", "assigned"),
        ("issue_comment", "created"),
        ("workflow_dispatch", ""),
    }


def test_an_ordinary_comment_starts_nothing_even_if_the_rest_is_odd():
    answer = parse_event("issue_comment", payloads.build_issue_comment_created("What about `/coven fix`?"))

    assert isinstance(answer, Refusal)
    assert (answer.code, answer.quiet) == ("not-a-command", True)


def test_the_senders_permission_is_never_lent_to_somebody_elses_comment():
    payload = payloads.build_issue_comment_created("/coven fix")
    payload["comment"]["user"]["id"] = payload["sender"]["id"] + 1

    with pytest.raises(EventError, match="not written by the sender"):
        parse_event("issue_comment", payload)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/coven fix", ("coven", "fix")),
        ("/cody fix the rounding", ("cody", "fix")),
        ("\n\n  /cody\tfix\r\nplease", ("cody", "fix")),
        ("/cody take-over", ("cody", "take-over")),
        ("/a-1 b", ("a-1", "b")),
    ],
)
def test_a_command_is_the_first_thing_in_a_comment(body, command):
    found = parse_command(body)

    assert found is not None
    assert (found.addressee, found.verb) == command


@pytest.mark.parametrize(
    "body",
    [
        "", "/", "/coven", "/coven ", "/coven\nfix", "/ coven fix", "coven fix", "please /coven fix", "> /coven fix",
        "`/coven fix`", "```\n/coven fix\n```", "<!-- -->/coven fix", "/Coven fix", "/coven FIX", "/coven fix!",
        "/coven fix-", "/coven fixes1", "//coven fix", "/9 fix", f"/{'a' * 33} fix", f"/coven {'f' * 21}",
        "\u200b/coven fix", "\uff0fcoven fix", "/c\u043even fix",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_command_is_none(body):
    found = parse_command(body)

    # A hyphen belongs to a verb; such a verb is no command of ours either.
    assert found is None or found.verb == "fix-"


def test_cutting_a_long_comment_never_finishes_a_word():
    padding = " " * (MAXIMUM_COMMAND_LENGTH - len("/coven fix"))

    assert parse_command(f"{padding}/coven fix") is not None
    assert parse_command(f"{padding}/coven fix it") is not None
    assert parse_command(f"{padding}/coven fixture") is None
    assert parse_command(f"{padding} /coven fix") is None


@given(st.text(alphabet="/ \t\nacfix-", max_size=40))
@examples(200)
def test_a_command_is_found_exactly_where_the_comment_begins_with_one(body):
    command = parse_command(body)

    words = body.split()
    if command is not None:
        assert words[:2] == [f"/{command.addressee}", command.verb]


@pytest.mark.parametrize("payload", [None, [], "{}", 1, True, b"{"])
def test_a_payload_that_is_no_object_is_an_error_of_ours(payload):
    with pytest.raises(EventError) as caught:
        parse_event("issues", payload)
    assert caught.value.code == "malformed-event"


@pytest.mark.parametrize("name", REAL)
def test_a_payload_that_lacks_any_part_is_read_refused_or_an_error_of_ours(name):
    event_name, payload = REAL[name]
    for path in list(walk(payload)):
        read_or_refuse(event_name, remove(payload, path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sender",), None),
        (("sender", "id"), "501"),
        (("sender", "id"), True),
        (("sender", "id"), 0),
        (("sender", "id"), 2**63),
        (("sender", "login"), ""),
        (("sender", "login"), "x" * 101),
        (("repository", "id"), 3.0),
        (("repository", "private"), "false"),
        (("repository", "name"), "billing/../other"),
        (("repository", "name"), "billing\n"),
        (("repository", "owner", "login"), "acme@evil.example"),
        (("repository", "owner", "login"), "acme/evil"),
        (("repository", "visibility"), "PUBLIC"),
        (("repository", "default_branch"), ""),
        (("issue", "number"), 0),
        (("issue", "number"), "42"),
        (("issue", "title"), 7),
        (("issue", "body"), ["x"]),
        (("sender", "type"), "\ud800"),
        (("sender", "login"), "\ud800"),
        (("issue", "user"), None),
        (("label",), None),
        (("label", "name"), ""),
        (("label", "name"), "\ud800"),
        (("label", "name"), "x" * 201),
    ],
)
def test_a_part_of_the_wrong_kind_is_named(path, value):
    with pytest.raises(EventError) as caught:
        parse_event("issues", replace(payloads.build_issues_labeled(), path, value))
    assert caught.value.code == "malformed-event"
    assert caught.value.message.startswith("issues: ")


@given(st.sampled_from([*sorted({name for name, _ in READERS}), "push"]), JSON)
@examples(150)
def test_any_json_is_read_refused_or_an_error_of_ours(event_name, payload):
    read_or_refuse(event_name, payload)
    if isinstance(payload, dict):
        for _, action in READERS:
            read_or_refuse(event_name, {**payload, "action": action})


@given(st.data())
@examples(250)
def test_a_mutated_payload_is_read_refused_or_an_error_of_ours(data):
    event_name, payload = REAL[data.draw(st.sampled_from(sorted(REAL)))]
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(walk(payload))))
        payload = replace(payload, path, data.draw(ODD | JSON))
    read_or_refuse(event_name, payload)


@pytest.mark.parametrize("name", REAL)
def test_fields_that_github_adds_are_ignored(name):
    event_name, payload = REAL[name]
    grown = json.loads(json.dumps(payload), object_hook=lambda found: {**found, "added_in_2030": {"a": 1}})

    assert parse_event(event_name, grown) == parse_event(event_name, payload)
