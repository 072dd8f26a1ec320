"""Webhook payloads: what starts a familiar, and what a mutilated payload does (nothing, and never a crash)."""

import copy
import json
import operator
from collections.abc import Iterator
from datetime import UTC, datetime
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
    Thread,
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
    assert event.thread is not None
    assert event.thread.number == event.thread_number == 42
    assert event.assignee is not None
    assert event.assignee.id == 601


def test_a_command_on_a_pull_request_is_known_to_be_on_one():
    event = commented("/cody fix rename it", pull_request=True)

    assert event.command == Command(addressee="cody", verb="fix")
    assert event.described == "issue_comment.created"
    assert event.thread is not None
    assert event.thread.is_pull_request
    assert event.comment is not None
    assert event.comment.body == "/cody fix rename it"


def test_a_thread_is_an_issue_unless_it_is_said_to_be_a_pull_request():
    assert not Thread.model_validate(payloads.build_issues_labeled()["issue"]).is_pull_request


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
    refusal = parse_event("schedule", {})
    assert isinstance(refusal, Refusal)
    answered = "issue_comment.created, issues.assigned, issues.labeled, workflow_dispatch"
    assert refusal.remedy == f"This version answers {answered}."


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
        (f"/{'a' * 32} {'f' * 20}", ("a" * 32, "f" * 20)),
        ("/a b", ("a", "b")),
        ("/coven \t fix", ("coven", "fix")),
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
    assert MAXIMUM_COMMAND_LENGTH == 200
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
        (("sender", "type"), "x" * 101),
        (("repository", "id"), 0),
        (("repository", "id"), 2**63),
        (("repository", "name"), ""),
        (("repository", "name"), "x" * 101),
        (("repository", "owner", "login"), ""),
        (("repository", "owner", "login"), "x" * 101),
        (("repository", "default_branch"), "x" * 245),
        (("issue", "number"), 2**31),
        (("issue", "updated_at"), "yesterday"),
        (("issue", "updated_at"), 0),
    ],
)
def test_a_part_of_the_wrong_kind_is_named(path, value):
    with pytest.raises(EventError) as caught:
        parse_event("issues", replace(payloads.build_issues_labeled(), path, value))
    assert caught.value.code == "malformed-event"
    assert caught.value.message.startswith("issues: ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sender", "id"), 1),
        (("sender", "id"), 2**63 - 1),
        (("sender", "login"), "x"),
        (("sender", "login"), "x" * 100),
        (("sender", "type"), "x" * 100),
        (("repository", "id"), 1),
        (("repository", "id"), 2**63 - 1),
        (("repository", "name"), "x"),
        (("repository", "name"), "x" * 100),
        (("repository", "owner", "login"), "x"),
        (("repository", "owner", "login"), "x" * 100),
        (("repository", "visibility"), "private"),
        (("repository", "visibility"), "internal"),
        (("repository", "default_branch"), "x"),
        (("repository", "default_branch"), "x" * 244),
        (("issue", "number"), 1),
        (("issue", "number"), 2**31 - 1),
        (("label", "name"), "x"),
        (("label", "name"), "x" * 200),
    ],
)
def test_the_least_and_the_most_that_github_sends_are_read_as_they_are(path, value):
    event = parse_event("issues", replace(payloads.build_issues_labeled(), path, value))

    assert isinstance(event, TriggerEvent)
    found = {"sender": event.sender, "repository": event.repository, "issue": event.thread}
    if path[0] == "label":
        assert event.label == value
    else:
        assert operator.attrgetter(".".join(path[1:]))(found[path[0]]) == value


@pytest.mark.parametrize(("identifier", "read"), [(0, False), (1, True), (2**63 - 1, True), (2**63, False)])
def test_a_comment_has_an_id_of_githubs(identifier, read):
    payload = replace(payloads.build_issue_comment_created("/coven fix"), ("comment", "id"), identifier)

    if read:
        event = read_event("issue_comment", payload)
        assert event.comment is not None
        assert event.comment.id == identifier
    else:
        with pytest.raises(EventError):
            parse_event("issue_comment", payload)


def test_what_a_payload_leaves_out_is_the_least():
    payload = payloads.build_issue_comment_created("/coven fix")
    for path in (("sender", "type"), ("repository", "visibility"), ("issue", "title"), ("issue", "body")):
        payload = remove(payload, path)
    event = read_event("issue_comment", remove(payload, ("comment", "node_id")))

    assert event.thread is not None
    assert event.comment is not None
    assert (event.sender.type, event.repository.visibility) == ("", "private")
    assert (event.thread.title, event.thread.body, event.comment.node_id) == ("", "", "")


def test_a_text_is_frozen_when_its_comment_was_written_or_its_issue_last_changed():
    payload = payloads.build_issue_comment_created("/coven fix")
    payload = replace(payload, ("issue", "updated_at"), "2026-01-05T10:00:00Z")
    payload = replace(payload, ("comment", "created_at"), "2026-01-05T09:30:00Z")
    issue = replace(payloads.build_issues_labeled(), ("issue", "updated_at"), "2026-01-05T10:00:00Z")

    assert read_event("issue_comment", payload).triggered_at == datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
    assert read_event("issues", issue).triggered_at == datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    assert dispatched().triggered_at is None


@pytest.mark.parametrize("number", ["1", "9" * 9, 42])
def test_a_dispatch_names_a_number_of_up_to_nine_digits(number):
    payload = {**payloads.build_workflow_dispatch(), "inputs": {"issue": number}}

    assert read_event("workflow_dispatch", payload).thread_number == int(number)


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/tags/main", "main", "refs/heads/main ", None])
def test_a_dispatch_on_another_ref_than_the_default_branch_is_refused(ref):
    answer = parse_event("workflow_dispatch", payloads.build_workflow_dispatch() | {"ref": ref})

    assert isinstance(answer, Refusal)
    assert (answer.code, answer.quiet) == ("not-default-branch", False)
    assert "another branch" in answer.reason
    assert answer.remedy == "Run it again on main."


@pytest.mark.parametrize(
    ("event_name", "payload", "reason", "remedy"),
    [
        ("push", {}, "'push' starts nothing.", "This version answers"),
        ("issues", {"action": "opened"}, "'issues.opened' starts nothing.", "This version answers"),
        ("x" * 81, {}, f"'{'x' * 80}' starts nothing.", "This version answers"),
        ("issue_comment", payloads.build_issue_comment_created("Hello."), "does not begin with a command", ""),
        ("workflow_dispatch", {"inputs": {}}, "without the number of an issue", "fill in the input `issue`"),
    ],
)
def test_whoever_is_refused_learns_why_and_what_would_be_answered(event_name, payload, reason, remedy):
    answer = parse_event(event_name, payload)

    assert isinstance(answer, Refusal)
    assert reason in answer.reason
    assert remedy in answer.remedy


def test_an_error_names_the_event_the_field_and_what_is_wrong():
    with pytest.raises(EventError) as caught:
        parse_event("issues", replace(payloads.build_issues_labeled(), ("sender", "id"), 0))
    assert caught.value.message == "issues: id: Input should be greater than 0"
    with pytest.raises(EventError) as nested:
        parse_event("issues", replace(payloads.build_issues_labeled(), ("repository", "owner", "id"), 0))
    assert nested.value.message == "issues: owner.id: Input should be greater than 0"
    with pytest.raises(EventError, match="not a JSON object"):
        parse_event("issues", [])
    payload = replace(payloads.build_issue_comment_created("/coven fix"), ("comment", "user", "id"), 999)
    with pytest.raises(EventError) as lent:
        parse_event("issue_comment", payload)
    assert lent.value.code == "malformed-event"


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
