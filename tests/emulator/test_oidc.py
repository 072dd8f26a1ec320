"""The local GitHub's ID tokens: what GitHub would sign, verified as the endpoint verifies GitHub's."""

import asyncio
from datetime import UTC, datetime

import jwt
import pytest
import requests

from coven_action.adapters.id_token import request_id_token
from coven_action.core.oidc.authority import EnrolledRepository, Tier, decide_authority
from coven_action.core.oidc.claims import KNOWN_CLAIMS
from coven_action.core.oidc.tokens import TokenReason, TokenRefused
from coven_action.emulator.oidc import KEPT_KEYS, Job
from coven_action.hosted.oidc import MAX_DOCUMENT, RETRY, HTTPFetch, Issuer, TokenVerifier
from tests.identity_tokens import get_key

AUDIENCE = "http://127.0.0.1:8766"
KEYS = "/oidc/.well-known/jwks"
DISCOVERY = "/oidc/.well-known/openid-configuration"


@pytest.fixture
def job(github):
    github.issuer.rotate(get_key())
    with github.world.lock:
        run = github.world.add_workflow_run(github.repository, github.maintainer, "issues")
    return Job(github.repository, run)


def verify(github, *tokens, clock=lambda: datetime.now(UTC)):
    """Return what each token, one after the other, proves to one endpoint: claims, or why it is refused."""

    async def scenario():
        results = []
        async with HTTPFetch() as fetch:
            verifier = TokenVerifier([Issuer(github.issuer.url)], audience=AUDIENCE, fetch=fetch, clock=clock)
            for token in tokens:
                try:
                    results.append(await verifier.verify(token() if callable(token) else token))
                except TokenRefused as refused:
                    results.append(refused.reason)
        return results

    return asyncio.run(scenario())


def read_claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_job_is_given_a_token_that_the_endpoint_takes(github, job):
    variables = github.issuer.permit(job.repository, job.run, environment="coven")
    token = request_id_token(variables, AUDIENCE)
    (claims,) = verify(github, token)

    assert (claims.repository_id, claims.repository_owner_id) == (str(job.repository.id), str(job.repository.owner.id))
    assert (claims.run_id, claims.run_attempt, claims.event_name) == (str(job.run.id), "1", "issues")
    assert (claims.actor_id, claims.environment) == (str(github.maintainer.id), "coven")
    assert (claims.repository_visibility, claims.ref, claims.sha) == ("public", "refs/heads/main", job.run.head_sha)
    assert claims.unknown_claims == ()


def test_its_claims_are_those_that_github_sends(github, job):
    said = set(read_claims(github.issuer.mint(Job(job.repository, job.run, "coven"), AUDIENCE)))
    elsewhere = {"enterprise", "enterprise_id", "environment_node_id", "issuer_scope"}

    assert said == KNOWN_CLAIMS - elsewhere
    assert jwt.get_unverified_header(github.issuer.mint(job))["typ"] == "JWT"


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize(
    ("event", "environment", "end"),
    [
        ("issues", None, "ref:refs/heads/main"),
        ("issues", "coven", "environment:coven"),
        ("issues", "production:eu", "environment:production%3Aeu"),
        ("pull_request", None, "pull_request"),
    ],
)
def test_the_subject_has_either_format_and_the_endpoint_cares_for_neither(github, has_ids, event, environment, end):
    repository = github.repository
    github.issuer.has_ids_in_subject = has_ids
    with github.world.lock:
        run = github.world.add_workflow_run(repository, github.maintainer, event)
    github.issuer.rotate(get_key())
    token = github.issuer.mint(Job(repository, run, environment), AUDIENCE)
    names = f"acme@{repository.owner.id}/billing@{repository.id}" if has_ids else "acme/billing"
    (claims,) = verify(github, token)

    assert read_claims(token)["sub"] == f"repo:{names}:{end}"
    assert claims.event_name == event


def test_a_run_has_the_authority_that_its_claims_give(github, job):
    enrolled = EnrolledRepository(
        issuer=github.issuer.url,
        tenant_id=1,
        repository_id=str(job.repository.id),
        account_id=str(job.repository.owner.id),
        default_branch="main",
    )
    push = Job(job.repository, github.world.add_workflow_run(job.repository, github.maintainer, "push"))
    answered, pushed = verify(github, github.issuer.mint(job, AUDIENCE), github.issuer.mint(push, AUDIENCE))
    github.issuer.protects_branches = False
    (unprotected,) = verify(github, github.issuer.mint(push, AUDIENCE))

    tiers = [decide_authority(claims, enrolled).tier for claims in (answered, pushed, unprotected)]
    assert tiers == [Tier.T1, Tier.T2, Tier.T1]


def test_without_an_audience_a_token_is_for_the_owner(github, job):
    token = github.issuer.mint(job)

    assert read_claims(token)["aud"] == f"{github.url}/acme"
    assert verify(github, token) == [TokenReason.AUDIENCE]


def test_a_test_mints_what_github_would_not(github, job):
    refused = verify(
        github,
        github.issuer.mint(job, AUDIENCE, iss=f"{github.issuer.url}/other"),
        github.issuer.mint(job, AUDIENCE, repository_id=None),
        github.issuer.mint(job, AUDIENCE, exp=1),
    )

    assert refused == [TokenReason.UNKNOWN_ISSUER, TokenReason.CLAIM_MISSING, TokenReason.TIMES]


def test_keys_rotate_and_the_last_ones_stay_published(github, job):
    first = github.issuer.mint(job, AUDIENCE)
    names = [github.issuer.key.key_id]

    def rotate():
        names.append(github.issuer.rotate().key_id)
        return github.issuer.mint(job, AUDIENCE)

    taken = verify(github, first, rotate, first, rotate, first)
    github.issuer.rotate()
    published = [key["kid"] for key in requests.get(github.url + KEYS, timeout=20).json()["keys"]]

    assert len({claims.jti for claims in taken}) == 3
    assert published == [*names[1:], github.issuer.key.key_id]
    assert len(published) == KEPT_KEYS
    assert verify(github, first) == [TokenReason.UNKNOWN_KEY]


def test_a_key_set_is_never_empty_and_shows_nothing_private(github):
    (key,) = requests.get(github.url + KEYS, timeout=20).json()["keys"]

    assert set(key) == {"kty", "alg", "use", "kid", "n", "e"}
    assert key["kid"] == github.issuer.key.key_id


FAULTS = {
    "a garbled key set": (KEYS, {"status": 200, "body": b"<html>"}),
    "an empty key set": (KEYS, {"status": 200, "body": {"keys": []}}),
    "an oversized key set": (KEYS, {"status": 200, "body": b" " * (MAX_DOCUMENT + 1)}),
    "an error at the key set": (KEYS, {"status": 503}),
    "a redirect at the key set": (KEYS, {"status": 302, "headers": {"Location": "/"}}),
    "a lost key set": (KEYS, {"drop": True}),
    "a garbled discovery document": (DISCOVERY, {"status": 200, "body": b"\x00"}),
    "another issuer's discovery document": (DISCOVERY, {"status": 200, "body": {"issuer": "https://evil.example"}}),
    "an error at the discovery document": (DISCOVERY, {"status": 500}),
}


@pytest.mark.parametrize(("path", "fault"), FAULTS.values(), ids=FAULTS)
def test_an_issuer_in_trouble_lets_no_token_through_and_is_asked_again(github, job, path, fault):
    github.faults.add(path_regex=f"^{path}$", **fault)
    token = github.issuer.mint(job, AUDIENCE)
    now = [datetime.now(UTC)]

    def wait():
        now[0] += RETRY
        return token

    refused, too_soon, taken = verify(github, token, token, wait, clock=lambda: now[0])
    assert (refused, too_soon) == (TokenReason.KEYS_UNAVAILABLE, TokenReason.KEYS_UNAVAILABLE)
    assert taken.run_id == str(job.run.id)


@pytest.mark.parametrize(
    "header", [None, "bearer", "bearer wrong", "Basic {0}", "{0}", "bearer  {0}", "bearer {0} ", "bearer {0},x"]
)
def test_only_the_jobs_own_credential_is_given_a_token(github, job, header):
    variables = github.issuer.permit(job.repository, job.run)
    credential = variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    headers = {} if header is None else {"Authorization": header.format(credential)}
    answer = requests.get(f"{variables['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=x", headers=headers, timeout=20)

    # A space at the end of a header is no part of it.
    assert answer.status_code == (200 if header == "bearer {0} " else 401)


def test_no_credential_and_no_token_is_recorded(github, job):
    variables = github.issuer.permit(job.repository, job.run)
    token = request_id_token(variables, AUDIENCE)

    (exchange,) = [found for found in github.exchanges if found.path == "/oidc/token"]
    assert "audience=http" in exchange.query
    assert token not in repr(github.exchanges)
    assert variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in repr(github.exchanges)
