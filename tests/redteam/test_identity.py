"""S33: an identity token is worth what an issuer has signed for us, and nothing else."""

import asyncio
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from coven_action.core.oidc.authority import Authority, EnrolledRepository, decide_authority
from coven_action.core.oidc.tokens import TokenRefused
from coven_action.hosted.oidc import Issuer, TokenVerifier
from tests.identity_tokens import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    encode_object,
    encode_part,
    get_key,
    join,
    make_claims,
    make_header,
    make_signed,
    sign,
)
from tests.redteam.cases import redteam

STRANGER = get_key(9)
PUBLIC_KEY = (
    get_key()
    .private_key.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)


class Endpoint:
    """A verifier of one issuer's tokens, and what it has fetched."""

    def __init__(self):
        self.fetched = []

    async def fetch(self, url):
        self.fetched.append(url)
        if url.endswith("openid-configuration"):
            issuer = url.removesuffix("/.well-known/openid-configuration")
            return json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks"}).encode()
        return json.dumps({"keys": [get_key().public]}).encode()

    async def accept(self, *tokens):
        """Return whether each token is taken, presented one after the other."""
        taken = []
        verifier = TokenVerifier([Issuer(ISSUER)], audience=AUDIENCE, fetch=self.fetch, clock=lambda: NOW)
        for token in tokens:
            try:
                await verifier.verify(token)
                taken.append(True)
            except TokenRefused:
                taken.append(False)
        return taken


def forge(signer, claims=CLAIMS, **header):
    signing_input = f"{encode_object(make_header(**header))}.{encode_object(claims)}"
    return f"{signing_input}.{encode_part(signer(signing_input.encode()))}"


def sign_as_stranger(data):
    return STRANGER.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def sign_with_public_key(data):
    return hmac.new(PUBLIC_KEY, data, hashlib.sha256).digest()


FORGED = {
    "no algorithm": join(make_header(alg="none"), CLAIMS),
    "no algorithm, in other letters": join(make_header(alg="nOnE"), CLAIMS),
    "the public key as a secret": forge(sign_with_public_key, alg="HS256"),
    "the public key as a secret, called RS256": forge(sign_with_public_key),
    "another algorithm": forge(sign_as_stranger, alg="PS256"),
    "a stranger's key": forge(sign_as_stranger),
    "a stranger's key, brought along": forge(sign_as_stranger, jwk=STRANGER.public),
    "a stranger's key, at an address": forge(sign_as_stranger, jku="https://evil.example/jwks"),
    "a stranger's certificate": forge(sign_as_stranger, x5c=["MIIB"], x5u="https://evil.example/chain"),
    "other claims under a true signature": ".".join(
        [*forge(sign_as_stranger, make_claims(repository_id="1")).split(".")[:2], sign(CLAIMS).split(".")[2]]
    ),
}


@redteam("S33", "a token that the issuer's key has not signed, byte for byte, opens nothing", attacks=FORGED)
def test_s33_forged_tokens_are_refused(siege, attack):
    return {"taken": all(asyncio.run(Endpoint().accept(attack)))}


FOREIGN = {
    "for somebody else": {"aud": "https://github.com/acme"},
    "for somebody whose name begins like ours": {"aud": f"{AUDIENCE}.evil.example"},
    "old, and said to live for ever": {"iat": CLAIMS["iat"] - 86_400, "exp": 2**40},
    "expired": {"iat": CLAIMS["iat"] - 200, "exp": CLAIMS["iat"] - 100},
    "not valid yet": {"nbf": CLAIMS["iat"] + 200},
    "from the future": {"iat": CLAIMS["iat"] + 200},
}


@redteam("S33", "a true token for somebody else, or for another time, opens nothing", attacks=FOREIGN)
def test_s33_foreign_tokens_are_refused(siege, attack):
    return {"taken": all(asyncio.run(Endpoint().accept(sign(make_claims(**attack)))))}


STRANGERS = {
    "a slash more": f"{ISSUER}/",
    "an enterprise's": f"{ISSUER}/acme",
    "in other letters": ISSUER.upper(),
    "a name that begins like it": f"{ISSUER}.evil.example",
    "another name": "https://evil.example",
    "a user before it": "https://user@token.actions.githubusercontent.com",
    "the cloud's own address": "https://169.254.169.254/latest",
}


@redteam("S33", "an issuer that is not registered letter by letter is neither believed nor asked", attacks=STRANGERS)
def test_s33_strangers_are_not_asked(siege, attack):
    endpoint = Endpoint()
    taken = asyncio.run(endpoint.accept(sign(make_claims(iss=attack))))
    return {"taken": all(taken), "asked": bool(endpoint.fetched)}


@redteam("S33", "a flood of made-up names of keys is no flood of requests to the issuer")
def test_s33_a_flood_of_names_fetches_nothing(siege):
    endpoint = Endpoint()
    asyncio.run(endpoint.accept(*(join(make_header(kid=f"none-{number}"), CLAIMS) for number in range(100))))
    return {"flooded": len(endpoint.fetched) > 10}


OURS = EnrolledRepository(issuer=ISSUER, tenant_id=1, repository_id="1001", account_id="501", default_branch="main")
IMPOSTORS = {
    "the same numbers at a server of somebody's own": {"iss": "https://ghes.evil.example/_services/token"},
    "another repository of the same name": {"repository_id": "6660"},
    "a repository that was given away": {"repository_owner_id": "666"},
}


@redteam("S33", "who signed, which repository and whose it is must all be those that were enrolled", attacks=IMPOSTORS)
def test_s33_impostors_are_turned_away(siege, attack):
    return {"admitted": isinstance(decide_authority(make_signed(**attack), OURS), Authority)}
