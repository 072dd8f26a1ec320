"""An issuer for the tests of ID tokens, without a network: its documents, its clock, and what may go wrong with it."""

import asyncio
import json
from datetime import timedelta

from coven_action.core.oidc.tokens import TokenRefused
from coven_action.hosted.oidc import Issuer, KeysUnavailable, TokenVerifier
from tests.identity_tokens import AUDIENCE, ISSUER, NOW, get_key, make_claims, sign

DISCOVERY = "/.well-known/openid-configuration"


class FakeIssuer:
    """The documents of issuers, a clock, and what may go wrong.

    An answer is made when it is asked for and arrives `hops` turns of the event loop later, as over a network.
    """

    def __init__(self, *keys, hops=3):
        self.now = NOW
        self.keys = list(keys or [get_key()])
        self.hops = hops
        self.fetched = []
        self.under_way = 0
        self.most_under_way = 0
        self.trouble = None

    def clock(self):
        return self.now

    def advance(self, **lengths):
        self.now += timedelta(**lengths)

    @property
    def refreshes(self):
        return sum(url.endswith(DISCOVERY) for url in self.fetched)

    async def fetch(self, url):
        self.fetched.append(url)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.trouble(url) if self.trouble else self.answer(url)
            for _ in range(self.hops):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        return answer

    def answer(self, url):
        if url.endswith(DISCOVERY):
            issuer = url.removesuffix(DISCOVERY)
            return json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks"}).encode()
        return json.dumps({"keys": [key.public for key in self.keys]}).encode()

    def fail(self, url):
        raise KeysUnavailable("out of order")

    def mint(self, key=None, **changes):
        seconds = int(self.now.timestamp())
        times = {"iat": seconds, "nbf": seconds - 600, "exp": seconds + 300}
        return sign(make_claims(**times | changes), key=key or self.keys[-1])

    def build_verifier(self, *issuers, audience=AUDIENCE):
        return TokenVerifier(issuers or [Issuer(ISSUER)], audience=audience, fetch=self.fetch, clock=self.clock)


async def explain(verifier, token):
    """Return why a token is refused, None for one that is taken."""
    try:
        await verifier.verify(token)
    except TokenRefused as refused:
        return refused.reason
    return None
