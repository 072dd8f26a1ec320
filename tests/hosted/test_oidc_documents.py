"""What an issuer answers: which key sets and discovery documents are believed, and how long and how much is read."""

import asyncio
import dataclasses
import gzip
import json
import ssl
from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from jwt.algorithms import RSAAlgorithm

from coven_action.hosted.oidc import MAX_DOCUMENT, MAX_KEYS, HTTPFetch, KeysUnavailable, parse_keys, read_key_set_url
from tests.identity_tokens import ISSUER, NOW, encode_part, get_key, get_private_key


def entry(key=None, **changes):
    public = (key or get_key()).public | changes
    return {name: value for name, value in public.items() if value is not ...}


def entry_of(private_key):
    return entry(**{name: RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)[name] for name in ("n", "e")})


def key_set(*entries):
    return json.dumps({"keys": entries}).encode()


def test_a_key_set_is_read_without_what_may_not_sign():
    mixed = key_set(entry(), entry(get_key(2), use="enc"), entry(get_key(3), alg="RS512"), "x", None, 1, [])

    assert set(parse_keys(mixed)) == {"key-1"}


@pytest.mark.parametrize("alg", ["RS256", ...])
def test_a_key_may_leave_its_algorithm_unsaid(alg):
    assert set(parse_keys(key_set(entry(alg=alg)))) == {"key-1"}


ENTRIES = {
    "a symmetric key": {"kty": "oct", "k": "AQAB", "kid": "key-1", "use": "sig", "alg": "RS256"},
    "an elliptic one": {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB", "kid": "key-1", "use": "sig"},
    "one to encrypt with": entry(use="enc"),
    "one without a use": entry(use=...),
    "one for HS256": entry(alg="HS256"),
    "one for PS256": entry(alg="PS256"),
    "one for null": entry(alg=None),
    "one without a name": entry(kid=...),
    "one with an empty name": entry(kid=""),
    "one with a very long name": entry(kid="k" * 129),
    "one whose name is a number": entry(kid=1),
    "a short one": entry_of(get_private_key(1024, 65537)),
    "a huge one": entry(n=encode_part(b"\xff" * 1025)),
    "one with the exponent 3": entry_of(get_private_key(2048, 3)),
    "one with the exponent 1": entry(e="AQ"),
    "one without a modulus": entry(n=...),
    "one whose modulus is a number": entry(n=65537),
    "one whose modulus is padded": entry(n=get_key().public["n"] + "=="),
    "one whose modulus is no base64": entry(n="\u0661" * 400),
    "one whose exponent is a list": entry(e=["AQAB"]),
}


@pytest.mark.parametrize("key", ENTRIES.values(), ids=ENTRIES)
def test_a_key_that_may_not_sign_is_left_out(key):
    with pytest.raises(KeysUnavailable, match="no key that may sign"):
        parse_keys(key_set(key))
    assert set(parse_keys(key_set(key, entry(get_key(2))))) == {"key-2"}


def test_a_name_of_two_keys_is_the_name_of_none():
    twice = key_set(entry(), entry(get_key(2), kid="key-1"), entry(get_key(3)))

    assert set(parse_keys(twice)) == {"key-3"}


KEY_SETS = {
    "nothing": b"",
    "a page": b"<html>",
    "no object": b"[]",
    "no keys": b"{}",
    "an empty set": b'{"keys": []}',
    "keys by name": b'{"keys": {"key-1": {}}}',
    "keys twice": b'{"keys": [], "keys": []}',
    "null": b'{"keys": null}',
    "too many keys": key_set(*[entry(kid=f"key-{number}") for number in range(MAX_KEYS + 1)]),
    "too many bytes": b'{"keys": []}' + b" " * MAX_DOCUMENT,
    "too deep": b'{"keys": ' + b"[" * 100 + b"]" * 100 + b"}",
    "no UTF-8": b'{"keys": "\xff"}',
    "a compressed answer": b"\x1f\x8b\x08\x00" + b"\0" * 40,
}


@pytest.mark.parametrize("document", KEY_SETS.values(), ids=KEY_SETS)
def test_what_is_no_key_set_gives_no_keys(document):
    with pytest.raises(KeysUnavailable):
        parse_keys(document)


def discovery(**changes):
    said = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/.well-known/jwks"} | changes
    return json.dumps({name: value for name, value in said.items() if value is not ...}).encode()


def test_an_enterprises_issuer_leads_to_the_keys_of_the_whole_host():
    document = discovery(issuer=f"{ISSUER}/acme")

    assert read_key_set_url(document, f"{ISSUER}/acme") == f"{ISSUER}/.well-known/jwks"


DISCOVERIES = {
    "another issuer": {"issuer": f"{ISSUER}/acme"},
    "an issuer with a slash": {"issuer": f"{ISSUER}/"},
    "no issuer": {"issuer": ...},
    "a list of issuers": {"issuer": [ISSUER]},
    "no address": {"jwks_uri": ...},
    "a number for an address": {"jwks_uri": 1},
    "another host": {"jwks_uri": "https://evil.example/jwks"},
    "a host that is named like it": {"jwks_uri": f"{ISSUER}.evil.example/jwks"},
    "a user in the address": {"jwks_uri": "https://token.actions.githubusercontent.com@evil.example/jwks"},
    "another port": {"jwks_uri": f"{ISSUER}:8443/jwks"},
    "no TLS": {"jwks_uri": f"{ISSUER}/jwks".replace("https", "http")},
    "this machine": {"jwks_uri": "http://127.0.0.1/jwks"},
    "a file": {"jwks_uri": "file:///etc/passwd"},
    "a relative address": {"jwks_uri": "/jwks"},
    "a scheme-relative address": {"jwks_uri": "//evil.example/jwks"},
    "a line break": {"jwks_uri": f"{ISSUER}/jwks\n"},
    "a backslash": {"jwks_uri": "https://token.actions.githubusercontent.com\\@evil.example"},
}


@pytest.mark.parametrize("change", DISCOVERIES.values(), ids=DISCOVERIES)
def test_a_discovery_document_leads_nowhere_else(change):
    with pytest.raises(KeysUnavailable):
        read_key_set_url(discovery(**change), ISSUER)


# --- over the network


@dataclasses.dataclass
class Server:
    """A server on this machine that does with each connection what it is told."""

    url: str
    requests: list


def serve(behave, use, tls=None):
    """Run `use(server)` while each connection is handled by `behave(writer, ended)`."""

    async def scenario():
        seen, ended = [], asyncio.Event()

        async def handle(reader, writer):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            try:
                await behave(writer, ended)
            except ConnectionError:
                return
            finally:
                writer.close()

        listener = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        try:
            return await use(Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", seen))
        finally:
            ended.set()
            listener.close()

    return asyncio.run(scenario())


def respond(status=200, body=b"{}", **headers):
    async def behave(writer, _ended):
        head = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
        await writer.drain()

    return behave


async def hang(_writer, ended):
    await ended.wait()


async def drip(writer, ended):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.is_set():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flood(writer, ended):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.is_set():
        writer.write(b" " * 65536)
        await writer.drain()


async def hang_up(writer, _ended):
    writer.close()


BEHAVIOURS = {
    "an error": (respond(503), "503"),
    "not found": (respond(404), "404"),
    "a redirect": (respond(302, Location="http://127.0.0.1:1/jwks"), "302"),
    "a permanent redirect to itself": (respond(308, Location="/x"), "308"),
    "nothing to say": (respond(204, b""), "204"),
    "one byte too many": (respond(body=b" " * (MAX_DOCUMENT + 1)), "too large"),
    "bytes without end": (flood, "too large"),
    "silence": (hang, "Timeout"),
    "a byte now and then": (drip, "Timeout"),
    "no answer": (hang_up, "RemoteProtocolError"),
}


@pytest.mark.parametrize(("behave", "reason"), BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_an_issuer_that_misbehaves_is_bounded(behave, reason):
    async def use(server):
        async with HTTPFetch(total_seconds=0.5) as fetch:
            with pytest.raises(KeysUnavailable, match=reason):
                await fetch(server.url)

    serve(behave, use)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "https://127.0.0.1:1", "http://[::1", "http://a..b/", "x://y", ""]
)
def test_what_cannot_be_reached_is_no_more_than_that(url):
    async def scenario():
        async with HTTPFetch(total_seconds=5) as fetch:
            with pytest.raises(KeysUnavailable):
                await fetch(url)

    asyncio.run(scenario())


def make_certificate(folder):
    """Return a server's TLS context with a certificate that nobody but itself vouches for."""
    private_key = get_key().private_key
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=3650))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    key = private_key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.pem").write_bytes(key + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    return context


def test_an_issuer_whose_certificate_nobody_vouches_for_is_told_nothing(tmp_path):
    async def use(server):
        async with HTTPFetch() as fetch:
            with pytest.raises(KeysUnavailable, match="ConnectError"):
                await fetch(server.url)
        return server.requests

    assert serve(respond(), use, make_certificate(tmp_path)) == []


def test_a_compressed_answer_is_not_unpacked():
    packed = gzip.compress(b" " * MAX_DOCUMENT * 10)

    async def use(server):
        async with HTTPFetch() as fetch:
            return await fetch(server.url)

    assert serve(respond(body=packed, Content_Encoding="gzip"), use) == packed


def test_a_request_is_plain_and_follows_no_variable(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def use(server):
        async with HTTPFetch() as fetch:
            return await fetch(f"{server.url}/x"), server.requests

    body, (request,) = serve(respond(body=b" " * MAX_DOCUMENT), use)
    assert len(body) == MAX_DOCUMENT
    assert request.startswith(b"GET /x HTTP/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in request.lower()
    assert b"authorization" not in request.lower()
    assert b"cookie" not in request.lower()
