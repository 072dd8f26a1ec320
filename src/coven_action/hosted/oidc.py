"""Verify GitHub's ID tokens: the issuer's keys, kept and fetched anew, and the signature. Raises `TokenRefused`.

The order is the defence. The token's shape, its algorithm and its issuer are looked at before anything is fetched; an
issuer must be one of the registered ones, letter by letter. Only then is a key sought, by issuer and name, the signature
verified over the very bytes that were read, and the claims checked.

Where the keys lie is read from the issuer's discovery document, because the issuer of an enterprise on github.com has
no key set at its own address: its document leads to that of the whole host. It may lead nowhere else.
https://docs.github.com/en/enterprise-cloud@latest/actions/reference/security/oidc#customizing-the-issuer-value-for-an-enterprise
"""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from jwt.algorithms import RSAAlgorithm

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.core.oidc.claims import LEEWAY, Expectation, SignedClaims, verify_claims
from coven_action.core.oidc.tokens import (
    ALGORITHM,
    TokenReason,
    TokenRefused,
    UnverifiedToken,
    decode_part,
    parse_unverified_token,
)
from coven_action.core.strict_json import StrictJSONError, parse_json_object
from coven_action.errors import EnvironmentFault

COOLDOWN: Final = timedelta(seconds=60)
"""After a fetch that did not bring the key a token names: how long such tokens cause no other."""
RETRY: Final = timedelta(seconds=10)
"""After a fetch that failed: how long none is begun."""
RENEWAL: Final = timedelta(hours=1)
"""Keys older than this are fetched anew while they are still used: a key that was withdrawn is given up by then."""
LIFETIME: Final = timedelta(hours=24)
"""How long the last good keys are used while the issuer fails."""
MAX_DOCUMENT: Final = 256 * 1024
MAX_KEYS: Final = 64
MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 8192
"""A larger key makes each verification dear."""
PUBLIC_EXPONENT: Final = 65537
CONNECT_SECONDS: Final = 2.0
TOTAL_SECONDS: Final = 5.0
MAX_KEY_NAME: Final = 128
_SPEAK_FOR_MANY: Final = LOOPBACK | {"token.actions.githubusercontent.com"}
"""Hosts of issuers that sign no other owner's id than the true one; that of an enterprise at github.com has a path more."""
_ACCOUNT_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_RS256: Final = RSAAlgorithm(RSAAlgorithm.SHA256)

Fetch = Callable[[str], Awaitable[bytes]]
Keys = Mapping[str, RSAPublicKey]


class KeysUnavailable(Exception):
    """Raised when an issuer gave no usable keys; the message holds nothing of its answer."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens are looked at.

    Args:
        url: The value of `iss`, letter by letter: https, or http on this machine's loopback address, no slash at the end.
        account_id: The one account it speaks for, by its id there. None for GitHub's own, which speaks for every account,
            and for one on this machine; another server of somebody's own can sign any owner's id, and must be bound.

    Raises:
        EnvironmentFault: `invalid-setting`: the URL is none of these, or the issuer is bound to nobody.
    """

    url: str
    account_id: int | None = None

    def __post_init__(self) -> None:
        """Refuse a URL by which keys could be had from somebody else, and an issuer that could speak for anybody."""
        if not _is_safe_url(self.url):
            raise EnvironmentFault(
                "invalid-setting", f"The issuer {self.url[:200]!r} is no https URL without a slash at its end."
            )
        if self.account_id is None and urlsplit(self.url).hostname not in _SPEAK_FOR_MANY:
            raise EnvironmentFault(
                "invalid-setting",
                f"The issuer {self.url[:200]} speaks for nobody: a server of somebody's own can sign any account's id, "
                "so write URL=ACCOUNT_ID, with the id of the one account on it that is enrolled.",
            )


def parse_issuer(line: str) -> Issuer:
    """Return an issuer as settings name it: `URL`, or `URL=ACCOUNT_ID`.

    Raises:
        EnvironmentFault: `invalid-setting`: it is neither, or what `Issuer` refuses.
    """
    url, bound, account = line.rpartition("=")
    if not bound:
        return Issuer(line)
    if _ACCOUNT_ID.fullmatch(account) is None:
        raise EnvironmentFault("invalid-setting", f"The issuer {line[:200]!r} is bound to no account's id.")
    return Issuer(url, int(account))


def _is_safe_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    is_plain = not any((parts.query, parts.fragment, "@" in parts.netloc, url.endswith("/")))
    return bool(host) and is_safe and is_plain and url.isascii() and url.isprintable() and " " not in url


class HTTPFetch:
    """Fetch small documents by HTTPS: bounded in time and size, without redirects, trusting the system's certificates.

    Args:
        proxy: URL of the proxy through which the issuer is reached; one that the environment names is not used.
        connect_seconds: Time to connect.
        total_seconds: Time for everything, the looking-up of the name included.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._total_seconds = total_seconds
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(total_seconds, connect=connect_seconds),
            follow_redirects=False,
            trust_env=False,
            proxy=proxy,
            # Compressed, a small answer could become a large one.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "coven-action"},
            verify=ssl.create_default_context(),
        )

    async def __call__(self, url: str) -> bytes:
        """Return the body of `url`.

        Raises:
            KeysUnavailable: No answer in time, another status than 200, or more than `MAX_DOCUMENT` bytes.
        """
        try:
            async with asyncio.timeout(self._total_seconds), self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise KeysUnavailable(f"the issuer answered {response.status_code}")
                return await _read_bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise KeysUnavailable(f"the issuer cannot be reached ({type(error).__name__})") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


async def _read_bounded(response: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > MAX_DOCUMENT:
            raise KeysUnavailable("the issuer's answer is too large")
    return bytes(read)


def read_key_set_url(document: bytes, issuer: str) -> str:
    """Return where an issuer's discovery document says that its keys lie.

    Raises:
        KeysUnavailable: The document is not this issuer's, or leads away from its host.
    """
    found = _parse(document)
    url = found.get("jwks_uri")
    if found.get("issuer") != issuer:
        raise KeysUnavailable("the discovery document is another issuer's")
    if not isinstance(url, str) or not _is_safe_url(url) or _get_origin(url) != _get_origin(issuer):
        raise KeysUnavailable("the discovery document leads away from the issuer")
    return url


def parse_keys(document: bytes) -> Keys:
    """Return the keys of a key set that may sign a token, by their names.

    Keys of other kinds are left out, and so is a name that stands for two keys.

    Raises:
        KeysUnavailable: The document is no key set, has too many keys, or none that may sign.
    """
    listed = _parse(document).get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeysUnavailable("the issuer's answer is no key set")
    named = [(entry["kid"], key) for entry in listed if (key := _build_key(entry)) is not None]
    counted = Counter(name for name, _ in named)
    keys = {name: key for name, key in named if counted[name] == 1}
    if not keys:
        raise KeysUnavailable("the key set holds no key that may sign")
    return keys


def _parse(document: bytes) -> dict[str, Any]:
    try:
        return parse_json_object(document, max_bytes=MAX_DOCUMENT)
    except StrictJSONError as error:
        raise KeysUnavailable(f"the issuer's answer cannot be read: {error}") from error


def _get_origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _build_key(entry: object) -> RSAPublicKey | None:
    """Return an entry's key, None for one of another kind. https://www.rfc-editor.org/rfc/rfc7517."""
    if not isinstance(entry, dict) or (entry.get("kty"), entry.get("use")) != ("RSA", "sig"):
        return None
    name = entry.get("kid")
    if entry.get("alg", ALGORITHM) != ALGORITHM or not isinstance(name, str) or not 0 < len(name) <= MAX_KEY_NAME:
        return None
    try:
        modulus, exponent = (int.from_bytes(decode_part(str(entry.get(member, "")))) for member in ("n", "e"))
        if not MIN_KEY_BITS <= modulus.bit_length() <= MAX_KEY_BITS or exponent != PUBLIC_EXPONENT:
            return None
        return RSAPublicNumbers(exponent, modulus).public_key()
    except (TokenRefused, ValueError):
        return None


class KeySet:
    """The keys of one issuer, in memory. At most one fetch is under way, and a flood of names causes no flood of them.

    Args:
        issuer: Its URL.
        fetch: Gives the body of a URL, or raises `KeysUnavailable`.
        clock: Gives the time.

    Attributes:
        failure: Why the latest fetch brought no keys; empty when it did.
    """

    def __init__(self, issuer: str, fetch: Fetch, clock: Callable[[], datetime]) -> None:
        self.failure = ""
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: Keys = {}
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._missed_at: datetime | None = None
        self._flight: asyncio.Task[None] | None = None
        self._flight_began_at: datetime | None = None

    async def get_key(self, name: str) -> RSAPublicKey:
        """Return the key of this name.

        Raises:
            TokenRefused: `unknown-key`, when the issuer has none of this name; `keys-unavailable`, when it was not to be
                had and no earlier answer knows the name.
        """
        key = self._find(name)
        if key is not None:
            if not _is_within(self._fetched_at, RENEWAL, self._clock()):
                self._begin()  # nobody waits for it: the keys at hand are still good
            return key
        joined = self._flight
        await self._refresh()
        if joined is not None and self._find(name) is None:
            # The answer under way may have been given before this key was published: one more is asked for.
            await self._refresh()
        key = self._find(name)
        if key is None:
            raise self._miss()
        return key

    async def aclose(self) -> None:
        """End the fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            with suppress(asyncio.CancelledError):
                await self._flight

    def _find(self, name: str) -> RSAPublicKey | None:
        return self._keys.get(name) if _is_within(self._fetched_at, LIFETIME, self._clock()) else None

    async def _refresh(self) -> None:
        flight = self._begin()
        if flight is not None:
            # One caller that gives up must not take the answer from the others.
            await asyncio.shield(flight)

    def _begin(self) -> asyncio.Task[None] | None:
        """Return the fetch under way, begun if there is none and it is time; None where it is not."""
        now = self._clock()
        if self._flight is None:
            if _is_within(self._missed_at, COOLDOWN, now) or _is_within(self._failed_at, RETRY, now):
                return None
            self._flight_began_at = now
            self._flight = asyncio.create_task(self._fly())
        return self._flight

    async def _fly(self) -> None:
        keys: Keys | None = None
        try:
            keys = await self._load()
        except KeysUnavailable as error:
            self.failure = str(error)
        finally:
            # However it ended, a failure among them that nobody foresaw, the next fetch is not begun at once.
            self._flight = None
            self._failed_at = self._clock() if keys is None else None
        if keys is not None:
            self._keys, self._fetched_at, self.failure = keys, self._clock(), ""

    async def _load(self) -> Keys:
        found = await self._fetch(f"{self._issuer}/.well-known/openid-configuration")
        return parse_keys(await self._fetch(read_key_set_url(found, self._issuer)))

    def _miss(self) -> TokenRefused:
        """Begin the cooldown, counted from when the latest fetch began: what was published before, it has seen."""
        if self._failed_at is not None:
            return TokenRefused(TokenReason.KEYS_UNAVAILABLE)
        self._missed_at = self._flight_began_at
        return TokenRefused(TokenReason.UNKNOWN_KEY)


def _is_within(began: datetime | None, length: timedelta, now: datetime) -> bool:
    """Say whether less than `length` has passed. A clock that was set back by more than the leeway ends it as well."""
    return began is not None and -LEEWAY <= now - began < length


class TokenVerifier:
    """Verify ID tokens of registered issuers for one audience.

    Args:
        issuers: Whose tokens are looked at.
        audience: Ours; there is no default.
        fetch: Gives the body of a URL, or raises `KeysUnavailable`.
        clock: Gives the time, with its zone.
    """

    def __init__(
        self, issuers: Iterable[Issuer], *, audience: str, fetch: Fetch, clock: Callable[[], datetime]
    ) -> None:
        if not audience:
            raise EnvironmentFault("invalid-setting", "The audience of ID tokens is empty.")
        self._issuers: dict[str, Issuer] = {}
        self._key_sets: dict[str, KeySet] = {}
        self._audience = audience
        self._fetch = fetch
        self._clock = clock
        self.register(issuers)

    @property
    def failures(self) -> Mapping[str, str]:
        """Issuer -> why its keys could not be had lately, for whoever runs the endpoint."""
        return {url: key_set.failure for url, key_set in self._key_sets.items() if key_set.failure}

    def register(self, issuers: Iterable[Issuer]) -> None:
        """Look at the tokens of these issuers, and of no others from now on. Keys that are known stay known.

        Raises:
            EnvironmentFault: `invalid-setting`: an issuer is named twice, so that it would speak for two accounts.
        """
        listed = list(issuers)
        registered = {issuer.url: issuer for issuer in listed}
        if len(registered) != len(listed):
            raise EnvironmentFault("invalid-setting", "An issuer is registered twice.")
        self._issuers = registered
        self._key_sets = {url: self._key_sets.get(url) or KeySet(url, self._fetch, self._clock) for url in registered}

    def get_account(self, claims: SignedClaims) -> int | None:
        """Return the id of the one account that the issuer of these claims speaks for, None where it speaks for many.

        Raises:
            TokenRefused: `unknown-issuer`, when it is registered no longer.
        """
        issuer = self._issuers.get(claims.iss)
        if issuer is None:
            raise TokenRefused(TokenReason.UNKNOWN_ISSUER, "iss")
        return issuer.account_id

    async def verify(self, token: str) -> SignedClaims:
        """Return what an issuer has signed.

        The caller still has to look whether `(iss, jti)` was seen before, and to remember it until `replay_until`.

        Raises:
            TokenRefused: For every token that proves nothing.
        """
        unverified = parse_unverified_token(token)
        key_set = self._key_sets.get(unverified.unverified_issuer)
        if key_set is None:
            raise TokenRefused(TokenReason.UNKNOWN_ISSUER, "iss")
        key = await key_set.get_key(unverified.unverified_key_id)
        verify_signature(unverified, key)
        expected = Expectation(unverified.unverified_issuer, self._audience, self._clock())
        return verify_claims(unverified.unverified_claims, expected)

    async def aclose(self) -> None:
        """End what is under way."""
        for key_set in self._key_sets.values():
            await key_set.aclose()


def verify_signature(token: UnverifiedToken, key: RSAPublicKey) -> None:
    """Return when the key's owner has signed exactly these bytes.

    Raises:
        TokenRefused: They have not.
    """
    if not _RS256.verify(token.signing_input, key, token.signature):
        raise TokenRefused(TokenReason.SIGNATURE)
