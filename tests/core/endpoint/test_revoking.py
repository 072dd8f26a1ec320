"""What a revocation at the endpoint may name."""

import pytest

from coven_action.core.endpoint.revoking import parse_target, render_account, spell_out
from coven_action.core.memory.keys import is_denied, is_revocable


@pytest.mark.parametrize(
    ("text", "scope", "number", "whole"),
    [
        ("repo/1001", "repo", 1001, False),
        ("repo/1001/conventions", "repo", 1001, False),
        ("repo/1001/conventions/rounding", "repo", 1001, False),
        ("tenant/501", "tenant", 501, False),
        ("account/501", "account", 501, True),
        ("installation/7", "installation", 7, True),
        (f"account/{2**63 - 1}", "account", 2**63 - 1, True),
    ],
)
def test_a_target_says_whose_it_is_and_how_far_it_goes(text, scope, number, whole):
    target = parse_target(text)

    assert target is not None
    assert (target.scope, target.number, target.text, target.is_whole) == (scope, number, text, whole)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "account",
        "account/",
        "account/0",
        "account/0501",
        "account/-1",
        "account/501/",
        "account/501/conventions",
        "installation/7/x",
        "accounts/501",
        "Account/501",
        "account/501\n",
        " account/501",
        "account/%",
        "account/\uff15\uff10\uff11",
        f"account/{2**63}",
        f"repo/{2**63}",
        "account/" + "9" * 20,
        "repo/1001/Con",
        "mem_0123456789abcdef",
    ],
)
def test_what_names_nothing_is_no_target(text):
    assert parse_target(text) is None


def test_no_line_of_revoked_txt_and_no_canonical_key_names_an_account():
    assert not is_revocable(render_account(501))


def test_an_account_is_spelled_out_as_what_the_repository_reads():
    spelled = spell_out(["account/501", "repo/1002/x"], 1001)

    assert spelled == ("repo/1001", "repo/1002/x", "tenant/501")
    assert is_denied("repo/1001/a/b", spelled)
    assert is_denied("tenant/501/a/b", spelled)
    assert not is_denied("repo/10011/a/b", spelled)


@pytest.mark.parametrize(
    ("revoked", "repository_id", "spelled"),
    [
        ([], 1001, ()),
        (["tenant/501"], 1001, ("tenant/501",)),
        (["account/501"], None, ("tenant/501",)),
        (["account/501", "repo/1001", "tenant/501"], 1001, ("repo/1001", "tenant/501")),
    ],
)
def test_other_revocations_stay_what_they_are(revoked, repository_id, spelled):
    assert spell_out(revoked, repository_id) == spelled
