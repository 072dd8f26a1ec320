"""A refusal has the shape of the provider's own errors, and a status that its clients do not retry."""

import json

import pytest

from coven_action.core.gateway.refusals import REASONS, Refused, render_refusal
from coven_action.error_codes import CODES

# Statuses that clients of the two providers try again by themselves.
RETRIED = {408, 409, 429}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_told_in_either_style(reason):
    status, anthropic = render_refusal("anthropic", reason)
    _, openai = render_refusal("openai", reason)
    sentence = f"Coven gateway: {REASONS[reason].sentence}"

    assert status == REASONS[reason].status not in RETRIED
    assert json.loads(anthropic)["error"]["message"] == json.loads(openai)["error"]["message"] == sentence
    assert json.loads(openai)["error"]["code"] == reason.replace("-", "_")


@pytest.mark.parametrize(
    ("reason", "anthropic", "openai"),
    [
        ("budget-cost", "permission_error", "invalid_request_error"),
        ("path-not-allowed", "not_found_error", "invalid_request_error"),
        ("body-too-large", "request_too_large", "invalid_request_error"),
        ("malformed-request", "invalid_request_error", "invalid_request_error"),
        ("headers-too-large", "invalid_request_error", "invalid_request_error"),
        ("upstream-redirect", "api_error", "server_error"),
    ],
)
def test_the_kind_of_error_is_the_providers(reason, anthropic, openai):
    assert json.loads(render_refusal("anthropic", reason)[1])["error"]["type"] == anthropic
    assert json.loads(render_refusal("openai", reason)[1])["error"]["type"] == openai


def test_what_ends_a_run_is_a_public_code():
    assert {reason for reason in REASONS if reason.startswith("budget-")} <= set(CODES)


def test_there_is_no_refusal_without_a_reason():
    assert str(Refused("upgrade")) == REASONS["upgrade"].sentence
    with pytest.raises(KeyError):
        Refused("made-up")
