"""What signed claims must be: every claim GitHub sends is accounted for, and each edge is on one side or the other."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.oidc.claims import (
    CHECKED,
    FRESHNESS,
    KNOWN_CLAIMS,
    LEEWAY,
    MAX_REPORTED_CLAIMS,
    MAX_REPORTED_LENGTH,
    REQUIRED,
    UNCHECKED,
    WHERE_PRESENT,
    Expectation,
    SignedClaims,
    find_unknown_claims,
    verify_claims,
)
from coven_action.core.oidc.tokens import TokenReason, TokenRefused
from tests.identity_tokens import AUDIENCE, CLAIMS, ISSUER, NOW, SECONDS, make_claims

EXPECTED = Expectation(ISSUER, AUDIENCE, NOW)


def refuse(claims, expected=EXPECTED):
    with pytest.raises(TokenRefused) as refused:
        verify_claims(claims, expected)
    return refused.value.reason, refused.value.claim


def test_every_claim_that_github_is_known_to_send_is_accounted_for():
    """A new claim changes this list by a decision of somebody's."""
    assert sorted(KNOWN_CLAIMS) == [
        "actor", "actor_id", "aud", "base_ref", "check_run_id", "enterprise", "enterprise_id", "environment",
        "environment_node_id", "event_name", "exp", "head_ref", "iat", "iss", "issuer_scope", "job_workflow_ref",
        "job_workflow_sha", "jti", "nbf", "ref", "ref_protected", "ref_type", "repository", "repository_id",
        "repository_owner", "repository_owner_id", "repository_visibility", "run_attempt", "run_id", "run_number",
        "runner_environment", "sha", "sub", "workflow", "workflow_ref", "workflow_sha",
    ]  # fmt: skip


def test_each_claim_has_one_treatment():
    tables = (set(CHECKED), REQUIRED, WHERE_PRESENT, set(UNCHECKED))

    assert sum(map(len, tables)) == len(KNOWN_CLAIMS)
    assert set(CLAIMS) - {"repo_property_team"} == KNOWN_CLAIMS
    assert all(len(reason) > 10 for reason in UNCHECKED.values())


def test_what_is_read_is_what_is_not_left_unread():
    fields = SignedClaims.model_fields

    assert set(fields) - {"unknown_claims"} == KNOWN_CLAIMS - set(UNCHECKED)
    assert {name for name, field in fields.items() if field.is_required()} == REQUIRED | (set(CHECKED) - {"ref"})


def test_claims_are_kept_as_they_were_signed():
    claims = verify_claims(CLAIMS, EXPECTED)

    assert claims.model_dump(exclude={"unknown_claims"}) == {
        name: value for name, value in CLAIMS.items() if name in SignedClaims.model_fields
    }
    assert claims.unknown_claims == ()
    with pytest.raises(ValueError, match="frozen"):
        claims.repository_id = "1"


@pytest.mark.parametrize("name", sorted(set(CLAIMS) - REQUIRED - set(CHECKED)))
def test_what_is_not_required_may_be_absent(name):
    assert verify_claims(make_claims(**{name: ...}), EXPECTED).repository_id == CLAIMS["repository_id"]


@pytest.mark.parametrize("name", sorted(REQUIRED | {"iss", "aud", "iat", "nbf", "exp"}))
@pytest.mark.parametrize("value", [..., "", None], ids=["absent", "empty", "null"])
def test_a_required_claim_that_is_missing_or_empty_refuses(name, value):
    assert refuse(make_claims(**{name: value})) == (TokenReason.CLAIM_MISSING, name)


@pytest.mark.parametrize("name", sorted(REQUIRED | WHERE_PRESENT | {"iss", "aud", "iat", "nbf", "exp", "ref"}))
@pytest.mark.parametrize("value", [True, 1.5, ["1"], {"a": "1"}, -1, b"1"], ids=repr)
def test_a_claim_of_another_type_refuses(name, value):
    reason, claim = refuse(make_claims(**{name: value}))

    assert (reason, claim) == (TokenReason.CLAIM_MALFORMED, name)


IDS = [
    "0",
    "007",
    "-1",
    "+1",
    "1.0",
    "1e3",
    " 1",
    "1 ",
    "1\n",
    "0x1",
    "1_000",
    "\u0661",
    "1" * 19,
    "9" * 400,
    "null",
    1001,
    1,
]


@pytest.mark.parametrize("name", ["repository_id", "repository_owner_id", "actor_id", "run_id", "run_attempt"])
@pytest.mark.parametrize("value", IDS, ids=repr)
def test_an_id_has_one_spelling(name, value):
    assert refuse(make_claims(**{name: value})) == (TokenReason.CLAIM_MALFORMED, name)


@pytest.mark.parametrize("value", ["1", "1001", "9" * 18])
def test_an_id_fits_the_number_that_a_database_has_for_it(value):
    assert int(verify_claims(make_claims(repository_id=value), EXPECTED).repository_id) < 2**63


TEXTS = {
    "a null byte": {"jti": "a\0b"},
    "a line break": {"event_name": "issues\n"},
    "a terminal's escape": {"workflow_ref": "a\x1b[2J"},
    "a delete": {"environment": "a\x7f"},
    "a very long jti": {"jti": "x" * 201},
    "a very long ref": {"ref": "refs/heads/" + "x" * 600},
    "a repository without an owner": {"repository": "billing"},
    "a repository in a folder": {"repository": "acme/billing/x"},
    "a repository with a line break": {"repository": "acme/billing\n"},
    "another visibility": {"repository_visibility": "PRIVATE"},
    "another protection": {"ref_protected": "True"},
    "an environment that is there and empty": {"environment": ""},
    "a reusable workflow that is there and empty": {"job_workflow_ref": ""},
    "a check run that is there and empty": {"check_run_id": ""},
}


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_none_refuses(change):
    (name, value), *_ = change.items()

    assert refuse(make_claims(**change)) == (
        TokenReason.CLAIM_MALFORMED if value else TokenReason.CLAIM_MISSING,
        name,
    )


AUDIENCES = [
    f"{AUDIENCE}/", AUDIENCE.upper(), f" {AUDIENCE}", f"{AUDIENCE}.evil.example", AUDIENCE[:-1], "https://github.com/acme",
    "*", "https://coven.example:443", "http://coven.example", f"{AUDIENCE}#x", f"{AUDIENCE},https://x",
]  # fmt: skip
LISTS = [[AUDIENCE], [AUDIENCE, "https://x"], [], {AUDIENCE: True}, 1, True]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_the_audience_is_exactly_ours(audience):
    assert refuse(make_claims(aud=audience)) == (TokenReason.AUDIENCE, "aud")


@pytest.mark.parametrize("audience", LISTS, ids=repr)
def test_the_audience_is_one_text(audience):
    assert refuse(make_claims(aud=audience)) == (TokenReason.CLAIM_MALFORMED, "aud")


def test_the_issuer_is_the_one_whose_key_signed():
    assert refuse(make_claims(iss=f"{ISSUER}/acme")) == (TokenReason.UNKNOWN_ISSUER, "iss")


# Claims, and whether a token of exactly these times is taken; the clock stands at NOW.
TIMES = {
    "issued now": ({"iat": SECONDS}, None),
    "issued at the end of the leeway": ({"iat": SECONDS + 30}, None),
    "issued beyond the leeway": ({"iat": SECONDS + 31}, (TokenReason.NOT_YET_VALID, "iat")),
    "as old as may be": ({"iat": SECONDS - 600}, None),
    "a second older": ({"iat": SECONDS - 601}, (TokenReason.STALE, "iat")),
    "old, and said to live for ever": ({"iat": SECONDS - 601, "exp": 2**52}, (TokenReason.STALE, "iat")),
    "expired within the leeway": ({"exp": SECONDS - 9}, None),
    "expired at the end of the leeway": ({"iat": SECONDS - 99, "exp": SECONDS - 29}, None),
    "expired beyond the leeway": ({"iat": SECONDS - 99, "exp": SECONDS - 30}, (TokenReason.EXPIRED, "exp")),
    "valid from the end of the leeway": ({"nbf": SECONDS + 30}, None),
    "valid from beyond the leeway": ({"nbf": SECONDS + 31}, (TokenReason.NOT_YET_VALID, "nbf")),
    "expiring when it was issued": ({"iat": SECONDS, "exp": SECONDS}, (TokenReason.TIMES, "exp")),
    "expiring before it was issued": ({"iat": SECONDS + 20, "exp": SECONDS + 10}, (TokenReason.TIMES, "exp")),
    "valid for no time": ({"nbf": SECONDS + 29, "exp": SECONDS + 29}, (TokenReason.TIMES, "nbf")),
    "valid after it expires": ({"nbf": SECONDS + 20, "exp": SECONDS + 10}, (TokenReason.TIMES, "nbf")),
    "issued in 1970": ({"iat": 0}, (TokenReason.STALE, "iat")),
    "never expiring": ({"exp": 2**53}, (TokenReason.CLAIM_MALFORMED, "exp")),
    "a whole number with a point": ({"iat": float(SECONDS)}, (TokenReason.CLAIM_MALFORMED, "iat")),
    "a text": ({"exp": str(SECONDS + 60)}, (TokenReason.CLAIM_MALFORMED, "exp")),
    "true": ({"iat": True}, (TokenReason.CLAIM_MALFORMED, "iat")),
    "milliseconds": ({"exp": SECONDS * 1000, "iat": SECONDS * 1000}, (TokenReason.NOT_YET_VALID, "iat")),
}


@pytest.mark.parametrize(("change", "reason"), TIMES.values(), ids=TIMES)
def test_times_are_on_one_side_of_each_edge(change, reason):
    claims = make_claims(**change)
    if reason is None:
        assert verify_claims(claims, EXPECTED).jti == CLAIMS["jti"]
    else:
        assert refuse(claims) == reason


def test_a_time_needs_its_zone_and_any_zone_will_do():
    elsewhere = Expectation(ISSUER, AUDIENCE, NOW.astimezone(timezone(timedelta(hours=-8))))

    assert verify_claims(CLAIMS, elsewhere) == verify_claims(CLAIMS, EXPECTED)
    with pytest.raises(ValueError, match="zone"):
        verify_claims(CLAIMS, Expectation(ISSUER, AUDIENCE, NOW.replace(tzinfo=None)))


@pytest.mark.parametrize("change", [{"ref": ""}, {"ref": ...}, {"sha": ""}, {"sha": ...}])
def test_a_run_is_of_a_ref_or_of_a_commit(change):
    assert verify_claims(make_claims(**change), EXPECTED).repository == "acme/billing"


@pytest.mark.parametrize("absent", ["", ...])
def test_a_run_of_neither_is_refused(absent):
    assert refuse(make_claims(ref=absent, sha=absent)) == (TokenReason.CLAIM_MISSING, "ref")


def test_a_claim_that_nobody_knows_is_reported_and_changes_nothing():
    claims = make_claims(job_colour="red", unknown_claims=["made up"])
    verified = verify_claims(claims, EXPECTED)

    assert verified.unknown_claims == ("job_colour", "unknown_claims")
    assert verified.model_copy(update={"unknown_claims": ()}) == verify_claims(CLAIMS, EXPECTED)


def test_no_more_unknown_claims_are_reported_than_a_log_can_bear():
    reported = find_unknown_claims({f"{number:04}{'x' * 500}": 1 for number in range(500)})

    assert len(reported) == MAX_REPORTED_CLAIMS
    assert {len(name) for name in reported} == {MAX_REPORTED_LENGTH}


def test_custom_properties_of_a_repository_are_no_news():
    assert find_unknown_claims({"repo_property_team": "x", "repo_propert": "y"}) == ("repo_propert",)


@given(
    issued=st.integers(-700, 100),
    lifetime=st.integers(1, 10_000),
    backdated=st.integers(0, 1000),
    later=st.integers(0, 12_000),
)
def test_a_jti_is_remembered_for_as_long_as_its_token_would_be_taken(issued, lifetime, backdated, later):
    issue = SECONDS + issued
    claims = make_claims(iat=issue, nbf=issue - backdated, exp=issue + lifetime)
    try:
        remembered = verify_claims(claims, EXPECTED).replay_until
    except TokenRefused:
        return
    assert remembered <= NOW + FRESHNESS + 2 * LEEWAY
    then = NOW + timedelta(seconds=later)
    if then >= remembered:
        assert refuse(claims, Expectation(ISSUER, AUDIENCE, then))[0] in {TokenReason.EXPIRED, TokenReason.STALE}


def test_a_jti_is_remembered_until_expiry_and_leeway():
    assert verify_claims(CLAIMS, EXPECTED).replay_until == datetime.fromtimestamp(CLAIMS["exp"], UTC) + LEEWAY


@given(
    st.dictionaries(
        st.sampled_from(sorted(CLAIMS)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=3)),
    )
)
def test_any_claims_are_refused_or_taken_and_nothing_else_is_raised(change):
    try:
        claims = verify_claims(CLAIMS | change, EXPECTED)
    except TokenRefused:
        return
    assert (claims.iss, claims.aud) == (ISSUER, AUDIENCE)
    assert all(isinstance(getattr(claims, name), str) for name in REQUIRED)
