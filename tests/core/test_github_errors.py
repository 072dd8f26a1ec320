"""What GitHub's error answers mean, and what to do about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.github_errors import SETTINGS_HINT, SHOWN, Answer, explain, find_wait, read_answer
from coven_action.error_codes import CODES
from tests.fuzzing import examples

REQUEST = "POST /repos/acme/billing/pulls"


def answer(status, message="", headers=None, errors=None):
    return read_answer(status, headers, {"message": message, "errors": errors})


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (answer(401, "Bad credentials"), "bad-credentials"),
        (answer(401), "bad-credentials"),
        (answer(403, "API rate limit exceeded for installation ID 1."), "rate-limited"),
        (answer(403, "You have exceeded a secondary rate limit."), "rate-limited"),
        (answer(403, "You have triggered an abuse detection mechanism."), "rate-limited"),
        (answer(429, ""), "rate-limited"),
        (
            answer(403, "GitHub Actions is not permitted to create or approve pull requests."),
            "pull-requests-switched-off",
        ),
        (answer(403, "Resource not accessible by integration"), "missing-permission"),
        (answer(403, "Must have admin rights to Repository."), "missing-permission"),
        (answer(403, "Something else"), "github-refused"),
        (answer(404, "Not Found"), "not-found"),
        (answer(422, "Draft pull requests are not supported in this repository."), "drafts-not-offered"),
        (
            answer(422, "Validation Failed", errors=[{"message": "A pull request already exists for acme:x."}]),
            "already-exists",
        ),
        (answer(422, "Validation Failed", errors=[{"field": "base"}]), "github-refused"),
        (answer(409, "Git Repository is empty."), "github-refused"),
        (answer(500, ""), "github-unavailable"),
        (answer(502, "Server Error"), "github-unavailable"),
        (answer(599), "github-unavailable"),
        (answer(499), "github-refused"),
    ],
)
def test_an_answer_is_given_a_public_code_and_names_the_request(found, code):
    meaning = explain(found, REQUEST)

    assert meaning.code == code
    assert code in CODES
    assert REQUEST in meaning.message


def test_a_missing_permission_shows_the_lines_to_add():
    headers = {"X-Accepted-GitHub-Permissions": "issues=write, pull_requests=write; contents=write"}
    meaning = explain(answer(403, "Resource not accessible by integration", headers), REQUEST)

    assert meaning.message.endswith("it needs issues: write, pull-requests: write.")
    assert meaning.remedy == (
        "Add to the job in your workflow:\n    permissions:\n      issues: write\n      pull-requests: write"
    )


def test_a_missing_permission_that_github_does_not_name_is_still_explained():
    meaning = explain(answer(403, "Resource not accessible by integration"), REQUEST)

    assert "it needs another permission" in meaning.message
    assert meaning.remedy is not None
    assert "see the documentation" in meaning.remedy


def test_the_setting_for_pull_requests_is_pointed_out():
    meaning = explain(answer(403, "GitHub Actions is not permitted to create or approve pull requests."), REQUEST)

    assert meaning.remedy == SETTINGS_HINT


def test_a_refusal_repeats_githubs_words_within_bounds():
    meaning = explain(answer(409, "x" * 10_000, errors=["y" * 10_000]), REQUEST)

    assert len(meaning.message) < 2 * SHOWN + 200
    assert explain(answer(409), REQUEST).message.endswith("no reason given")


def test_braces_in_a_request_are_shown_as_they_are():
    assert "GET /{owner}" in explain(answer(404), "GET /{owner}").message


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        (None, "", ""),
        ("<html>502</html>", "<html>502</html>", ""),
        ({"message": None, "errors": None}, "", ""),
        ({"message": "no", "errors": []}, "no", ""),
        ({"message": ["no"], "errors": {"a": 1}}, "['no']", '{"a": 1}'),
        ({"message": "half \ud800", "errors": ["\ud800"]}, "half \\ud800", '["\\ud800"]'),
        ([], "", ""),
        (b"bytes", "b'bytes'", ""),
        (7, "7", ""),
    ],
)
def test_an_answer_is_read_whatever_it_looks_like(body, message, details):
    found = read_answer(400, {"Retry-After": 3, "X-\ud800": "\ud800"}, body)

    assert (found.message, found.details) == (message, details)
    assert found.headers == {"retry-after": "3", "x-\\ud800": "\\ud800"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.integers(100, 599), st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3), JSON, JSON, JSON)
@examples(150)
def test_every_answer_has_a_meaning(status, headers, body, message, errors):
    for shape in (body, {"message": message, "errors": errors}):
        meaning = explain(read_answer(status, headers, shape), REQUEST)
        assert meaning.code in CODES
        assert meaning.message.encode()


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "30", "x-ratelimit-reset": "1100", "x-ratelimit-remaining": "0"}, 30.0),
        ({"x-ratelimit-reset": "1100", "x-ratelimit-remaining": "0"}, 100.0),
        ({"x-ratelimit-reset": "900", "x-ratelimit-remaining": "0"}, 0.0),
        ({"x-ratelimit-reset": "1100", "x-ratelimit-remaining": "7"}, None),
        ({"x-ratelimit-reset": "1100"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "9" * 13}, None),
        ({"retry-after": "soon", "x-ratelimit-reset": "1100", "x-ratelimit-remaining": "0"}, 100.0),
    ],
)
def test_a_wait_is_only_what_the_answer_says(headers, wait):
    assert find_wait(Answer(status=429, headers=headers, message="", details=""), 1000.0) == wait
