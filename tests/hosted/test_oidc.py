"""ID tokens at the endpoint: what is refused, and in which order."""

import asyncio
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.oidc.tokens import TokenReason, TokenRefused
from coven_action.emulator.oidc import SigningKey
from coven_action.errors import EnvironmentFault
from coven_action.hosted.oidc import Issuer, TokenVerifier, parse_issuer
from tests.fuzzing import examples
from tests.hosted.fake_issuer import DISCOVERY, FakeIssuer, explain
from tests.identity_tokens import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    encode_object,
    encode_part,
    get_key,
    join,
    make_claims,
    make_header,
    sign,
)

GHES = "https://ghes.example/_services/token"


@pytest.fixture
def issuer():
    return FakeIssuer()


def refuse(issuer, token):
    return asyncio.run(explain(issuer.build_verifier(), token))


# --- tokens


def test_a_token_that_an_issuer_signed_is_taken(issuer):
    claims = asyncio.run(issuer.build_verifier().verify(sign(CLAIMS)))

    assert (claims.repository_id, claims.run_id, claims.jti) == ("1001", "22259804324", CLAIMS["jti"])
    assert issuer.fetched == [f"{ISSUER}{DISCOVERY}", f"{ISSUER}/.well-known/jwks"]


def sign_with(sign_bytes, claims=CLAIMS, **header):
    signing_input = f"{encode_object(make_header(**header))}.{encode_object(claims)}"
    return f"{signing_input}.{encode_part(sign_bytes(signing_input.encode()))}"


def sign_rsa(data, scheme=None, digest=None, key=None):
    private_key = (key or get_key()).private_key
    return private_key.sign(data, scheme or padding.PKCS1v15(), digest or hashes.SHA256())


def sign_pss(data):
    return sign_rsa(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32))


def sign_hmac(secret):
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def export_key(encoding, kind=serialization.PublicFormat.SubjectPublicKeyInfo):
    return get_key().private_key.public_key().public_bytes(encoding, kind)


PEM = export_key(serialization.Encoding.PEM)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = get_key(9)
HEADER, BODY, SIGNATURE = sign(CLAIMS).split(".")
OTHER_BODY = encode_object(make_claims(repository_id="1002"))

FORGED = {
    "alg none, no signature": (f"{encode_object(make_header(alg='none'))}.{BODY}.", TokenReason.MALFORMED),
    "alg none": (join(make_header(alg="none"), CLAIMS), TokenReason.ALGORITHM),
    "alg none, a true signature": (sign_with(sign_rsa, alg="none"), TokenReason.ALGORITHM),
    "HS256 with the public key as PEM": (sign_with(sign_hmac(PEM), alg="HS256"), TokenReason.ALGORITHM),
    "HS256 with the public key as DER": (
        sign_with(sign_hmac(export_key(serialization.Encoding.DER)), alg="HS256"), TokenReason.ALGORITHM
    ),
    "HS256 with the key set's entry": (
        sign_with(sign_hmac(json.dumps(get_key().public).encode()), alg="HS256"), TokenReason.ALGORITHM
    ),
    "HS256 without a secret": (sign_with(sign_hmac(b""), alg="HS256"), TokenReason.ALGORITHM),
    "HS256 called RS256": (sign_with(sign_hmac(PEM)), TokenReason.SIGNATURE),
    "RS384": (sign_with(lambda data: sign_rsa(data, digest=hashes.SHA384()), alg="RS384"), TokenReason.ALGORITHM),
    "RS384 called RS256": (sign_with(lambda data: sign_rsa(data, digest=hashes.SHA384())), TokenReason.SIGNATURE),
    "SHA-1 called RS256": (sign_with(lambda data: sign_rsa(data, digest=hashes.SHA1())), TokenReason.SIGNATURE),
    "PS256": (sign_with(sign_pss, alg="PS256"), TokenReason.ALGORITHM),
    "PS256 called RS256": (sign_with(sign_pss), TokenReason.SIGNATURE),
    "ES256": (
        sign_with(lambda data: EC_KEY.sign(data, ec.ECDSA(hashes.SHA256())), alg="ES256"), TokenReason.ALGORITHM
    ),
    "ES256 called RS256": (sign_with(lambda data: EC_KEY.sign(data, ec.ECDSA(hashes.SHA256()))), TokenReason.SIGNATURE),
    "a stranger's key under the issuer's name": (
        sign_with(lambda data: sign_rsa(data, key=STRANGER)), TokenReason.SIGNATURE
    ),
    "a stranger's key under its own name": (sign(CLAIMS, key=STRANGER), TokenReason.UNKNOWN_KEY),
    "a stranger's key, brought along": (
        sign_with(lambda data: sign_rsa(data, key=STRANGER), jwk=STRANGER.public), TokenReason.HEADER
    ),
    "a stranger's key, at an address": (
        sign_with(lambda data: sign_rsa(data, key=STRANGER), jku="https://evil.example/jwks"), TokenReason.HEADER
    ),
    "a stranger's certificate": (
        sign_with(lambda data: sign_rsa(data, key=STRANGER), x5c=["MIIB"], x5u="https://evil.example"),
        TokenReason.HEADER,
    ),
    "something critical": (sign_with(sign_rsa, crit=["exp"], exp=1), TokenReason.HEADER),
    "no key named": (sign_with(sign_rsa, kid=...), TokenReason.KEY_ID),
    "a key by its path": (sign_with(sign_rsa, kid="../key-1"), TokenReason.KEY_ID),
    "a key in other letters": (sign_with(sign_rsa, kid="KEY-1"), TokenReason.UNKNOWN_KEY),
    "another token's claims": (f"{HEADER}.{OTHER_BODY}.{SIGNATURE}", TokenReason.SIGNATURE),
    "another header": (
        f"{encode_object(make_header(x5t='other'))}.{BODY}.{SIGNATURE}", TokenReason.SIGNATURE
    ),
    "another signature": (f"{HEADER}.{BODY}.{sign(make_claims(jti='x')).split('.')[2]}", TokenReason.SIGNATURE),
    "a short signature": (f"{HEADER}.{BODY}.{encode_part(b'0')}", TokenReason.SIGNATURE),
    "a signature of zeros": (f"{HEADER}.{BODY}.{encode_part(bytes(256))}", TokenReason.SIGNATURE),
    "a signature with a byte before it": (
        sign_with(lambda data: b"\0" + sign_rsa(data)), TokenReason.SIGNATURE
    ),
    "claims twice": (
        sign(b'{"iss": "' + ISSUER.encode() + b'", "repository_id": "1", "repository_id": "1001"}'),
        TokenReason.MALFORMED,
    ),
    "another audience": (sign(make_claims(aud="https://github.com/acme")), TokenReason.AUDIENCE),
    "several audiences": (sign(make_claims(aud=[AUDIENCE, "https://x"])), TokenReason.CLAIM_MALFORMED),
    "one audience in a list": (sign(make_claims(aud=[AUDIENCE])), TokenReason.CLAIM_MALFORMED),
    "no audience": (sign(make_claims(aud=...)), TokenReason.CLAIM_MISSING),
    "an expired one": (sign(make_claims(iat=CLAIMS["iat"] - 90, exp=CLAIMS["iat"] - 30)), TokenReason.EXPIRED),
    "an old one": (sign(make_claims(iat=CLAIMS["iat"] - 600)), TokenReason.STALE),
    "no jti": (sign(make_claims(jti="")), TokenReason.CLAIM_MISSING),
    "a number for an id": (sign(make_claims(repository_id=1001)), TokenReason.CLAIM_MALFORMED),
}  # fmt: skip


@pytest.mark.parametrize(("token", "reason"), FORGED.values(), ids=FORGED)
def test_a_token_that_proves_nothing_is_refused(issuer, token, reason):
    assert refuse(issuer, token) is reason


ISSUERS = [
    f"{ISSUER}/", f"{ISSUER}/acme", f"{ISSUER}/acme/", ISSUER.upper(), "HTTPS://token.actions.githubusercontent.com",
    "http://token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com:443",
    "https://token.actions.githubusercontent.com.evil.example", "https://token.actions.githubusercontent.co",
    "https://user@token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com@evil.example",
    f"{ISSUER}?x", f"{ISSUER}#x", f" {ISSUER}", f"{ISSUER} ", f"{ISSUER}\n", f"{ISSUER}\0", f"{ISSUER}%2F", "evil.example",
    "https://token.actions.githubusercontent.com\\@evil.example", "https://tok\u0435n.actions.githubusercontent.com",
    "https://token.actions.acme.ghe.com", GHES, "file:///etc/passwd", f"{ISSUER}/../acme", "https://169.254.169.254/",
]  # fmt: skip


@pytest.mark.parametrize("other", ISSUERS, ids=ascii)
def test_nothing_is_fetched_for_an_issuer_that_is_not_registered_letter_by_letter(issuer, other):
    assert refuse(issuer, sign(make_claims(iss=other))) is TokenReason.UNKNOWN_ISSUER
    assert issuer.fetched == []


def test_nothing_is_fetched_for_a_token_that_is_refused_by_its_shape(issuer):
    early = {TokenReason.MALFORMED, TokenReason.ALGORITHM, TokenReason.HEADER, TokenReason.KEY_ID}
    tokens = [token for token, reason in FORGED.values() if reason in early]

    assert len(tokens) > 12
    for token in tokens:
        refuse(issuer, token)
    assert issuer.fetched == []


def test_keys_belong_to_their_issuer_even_under_the_same_name():
    ours, theirs = FakeIssuer(get_key(1)), FakeIssuer(SigningKey("key-1", get_key(2).private_key))

    async def fetch(url):
        return await (theirs if url.startswith(GHES) else ours).fetch(url)

    async def scenario():
        issuers = [Issuer(ISSUER), Issuer(GHES, account_id=7)]
        verifier = TokenVerifier(issuers, audience=AUDIENCE, fetch=fetch, clock=ours.clock)
        good = await verifier.verify(sign(make_claims(iss=GHES), key=theirs.keys[0]))
        forged = sign(CLAIMS, key=theirs.keys[0])
        return verifier.get_account(good), await explain(verifier, forged), await explain(verifier, sign(CLAIMS))

    assert asyncio.run(scenario()) == (7, TokenReason.SIGNATURE, None)


def test_an_issuer_that_is_registered_no_longer_speaks_for_nobody(issuer):
    async def scenario():
        verifier = issuer.build_verifier(Issuer(ISSUER), Issuer(GHES, account_id=7))
        await verifier.verify(sign(CLAIMS))
        verifier.register([Issuer(ISSUER), Issuer(GHES, account_id=7)])
        claims = await verifier.verify(sign(CLAIMS))
        assert issuer.refreshes == 1, "keys that are known stay known"
        verifier.register([Issuer(GHES, account_id=7)])
        with pytest.raises(TokenRefused, match="unknown-issuer"):
            verifier.get_account(claims)
        gone = await explain(verifier, sign(CLAIMS))
        verifier.register([Issuer(ISSUER), Issuer(GHES, account_id=8)])
        return gone, verifier.get_account(claims), await explain(verifier, sign(CLAIMS))

    assert asyncio.run(scenario()) == (TokenReason.UNKNOWN_ISSUER, None, None)
    assert issuer.refreshes == 2


BAD_ISSUERS = [
    "", "token.actions.githubusercontent.com", "http://ghes.example", f"{ISSUER}/", f"{ISSUER}?x=1", f"{ISSUER}#x",
    "https://", "https://user@ghes.example", "https://user:x@ghes.example", "ftp://ghes.example", "file:///x",
    "https://ghes.example/ x", "https://ghes.example/\n", "https://gh\u0435s.example", "https://[::1", "http://127.0.0.1.evil.example",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_ISSUERS, ids=ascii)
def test_an_issuer_whose_keys_somebody_else_could_serve_is_not_registered(url):
    with pytest.raises(EnvironmentFault, match="invalid-setting"):
        Issuer(url)


@pytest.mark.parametrize("url", [ISSUER, f"{ISSUER}/acme", "http://127.0.0.1:8080/oidc", "http://localhost/oidc"])
def test_github_s_own_and_one_on_this_machine_speak_for_every_account(url):
    assert (Issuer(url).url, parse_issuer(url)) == (url, Issuer(url))


@pytest.mark.parametrize(
    "url",
    [
        GHES,
        "https://token.actions.acme.ghe.com",
        f"{ISSUER}.evil.example",
        "https://evil.example/token.actions.githubusercontent.com",
    ],
)
def test_a_server_of_somebody_s_own_speaks_for_one_account_and_has_to_say_which(url):
    with pytest.raises(EnvironmentFault, match="URL=ACCOUNT_ID") as raised:
        Issuer(url)

    assert "\n" not in raised.value.message
    assert Issuer(url, 501).account_id == 501
    assert parse_issuer(f"{url}=501") == Issuer(url, 501)


@pytest.mark.parametrize("line", [f"{GHES}=", f"{GHES}=0", f"{GHES}=-1", f"{GHES}=acme", f"{GHES}=1 ", f"{GHES}=501=",
                                  f"{GHES}=\u0665", f"{GHES}={10**18}", "=501", f"{GHES}/=501"])  # fmt: skip
def test_a_binding_names_the_id_of_an_account(line):
    with pytest.raises(EnvironmentFault, match="invalid-setting"):
        parse_issuer(line)


def test_an_issuer_speaks_for_one_account_and_an_audience_is_ours(issuer):
    with pytest.raises(EnvironmentFault, match="twice"):
        issuer.build_verifier(Issuer(GHES, account_id=1), Issuer(GHES, account_id=2))
    with pytest.raises(EnvironmentFault, match="audience"):
        issuer.build_verifier(audience="")


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="


@examples(300)
@given(
    place=st.integers(0, 10_000), with_=st.sampled_from(ALPHABET), how=st.sampled_from(["put", "add", "drop", "swap"])
)
def test_no_change_of_a_valid_token_is_accepted(place, with_, how):
    issuer, token = FakeIssuer(), sign(CLAIMS)
    at = place % (len(token) - 1)
    after = {"put": with_ + token[at + 1 :], "add": with_ + token[at:], "drop": token[at + 1 :]}
    after["swap"] = token[at + 1] + token[at] + token[at + 2 :]
    changed = token[:at] + after[how]

    assert (refuse(issuer, changed) is None) == (changed == token)


@examples(100)
@given(
    change=st.dictionaries(
        st.sampled_from(sorted(CLAIMS)), st.none() | st.booleans() | st.integers() | st.text(max_size=10), min_size=1
    )
)
def test_no_change_of_the_claims_is_accepted_under_the_old_signature(change):
    body = encode_object(CLAIMS | change)

    assert (refuse(FakeIssuer(), f"{HEADER}.{body}.{SIGNATURE}") is None) == (body == BODY)
