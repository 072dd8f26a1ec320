"""What is refused before anybody looks at a signature, and that a token has one spelling only."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.oidc.tokens import (
    MAX_ISSUER_LENGTH,
    MAX_TOKEN_LENGTH,
    TokenReason,
    TokenRefused,
    decode_part,
    has_compact_shape,
    parse_unverified_token,
)
from tests.identity_tokens import CLAIMS, ISSUER, encode_object, encode_part, join, make_claims, make_header

GOOD = join(make_header(), CLAIMS)
HEADER, BODY, SIGNATURE = GOOD.split(".")


def refuse(token):
    with pytest.raises(TokenRefused) as refused:
        parse_unverified_token(token)
    return refused.value.reason


def test_a_tokens_parts_are_read_and_none_is_believed():
    token = parse_unverified_token(GOOD)

    assert token.unverified_key_id == "key-1"
    assert token.unverified_issuer == ISSUER
    assert token.unverified_claims == CLAIMS
    assert (token.signing_input, token.signature) == (f"{HEADER}.{BODY}".encode(), b"signature")
    assert "6f4762ed" not in repr(token)


def test_a_token_of_the_greatest_size_is_read():
    # Not every length can be had by the signature alone: three characters of base64 stand for two bytes.
    sizes = ((filler, length) for filler in range(4) for length in range(5_500, 6_200))
    tokens = (join(make_header(filler="x" * filler), {"iss": ISSUER}, b"s" * length) for filler, length in sizes)
    greatest = next(token for token in tokens if len(token) == MAX_TOKEN_LENGTH)

    assert parse_unverified_token(greatest).unverified_issuer == ISSUER
    assert refuse(f"{greatest}A") is TokenReason.TOO_LARGE


SHAPES = {
    "nothing": "",
    "one part": HEADER,
    "two parts": f"{HEADER}.{BODY}",
    "no signature": f"{HEADER}.{BODY}.",
    "no header": f".{BODY}.{SIGNATURE}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "an encrypted token": f"{HEADER}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}",
    "a space before": f" {GOOD}",
    "a line break after": f"{GOOD}\n",
    "a line break inside": f"{HEADER}.{BODY[:20]}\n{BODY[20:]}.{SIGNATURE}",
    "a scheme in front": f"Bearer {GOOD}",
    "two tokens": f"{GOOD},{GOOD}",
    "padding": f"{HEADER}.{BODY}.{SIGNATURE}=",
    "percent-encoded padding": f"{HEADER}.{BODY}.{SIGNATURE}%3D",
    "the alphabet with plus and slash": f"{HEADER}.{BODY}.ab+/",
    "other digits": f"{HEADER}.{BODY}.{SIGNATURE[:-1]}\u0661",
    "a null byte": f"{HEADER}.{BODY}.{SIGNATURE}\0",
    "a length no bytes have": f"{HEADER}.{BODY}.abcde",
    "unused bits set in the signature": f"{HEADER}.{BODY}.{encode_part(b'x')[:-1]}h",
    "JSON serialisation": json.dumps({"protected": HEADER, "payload": BODY, "signature": SIGNATURE}),
}


@pytest.mark.parametrize("token", SHAPES.values(), ids=SHAPES)
def test_what_is_not_three_canonical_parts_is_refused(token):
    assert refuse(token) is TokenReason.MALFORMED


@pytest.mark.parametrize("length", [MAX_TOKEN_LENGTH + 1, 1_000_000])
def test_a_token_that_is_too_large_is_refused_unread(length):
    assert refuse("." * length) is TokenReason.TOO_LARGE
    assert refuse((GOOD + "A" * length)[:length]) is TokenReason.TOO_LARGE


DOCUMENTS = {
    "no JSON": b"{",
    "an array": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "NaN": b'{"alg": "RS256", "kid": "key-1", "iss": NaN}',
    "a key twice": b'{"alg": "RS256", "alg": "RS256", "kid": "key-1", "iss": "a", "iss": "b"}',
    "a key twice, once escaped": b'{"alg": "none", "\\u0061lg": "RS256", "kid": "key-1", "iss": "a", "\\u0069ss": "b"}',
    "a key twice, deeper": b'{"alg": "RS256", "kid": "key-1", "iss": "a", "x": {"y": 1, "y": 2}}',
    "a byte order mark": b'\xef\xbb\xbf{"alg": "RS256", "kid": "key-1", "iss": "a"}',
    "no UTF-8": b'{"alg": "RS256", "kid": "key-1", "iss": "\xff"}',
    "half a surrogate pair": b'{"alg": "RS256", "kid": "key-1", "iss": "\\ud800"}',
    "arrays in arrays": b'{"alg": "RS256", "kid": "key-1", "iss": "a", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    "a little too deep": b'{"alg": "RS256", "kid": "key-1", "iss": "a", "x": [[[[1]]]]}',
    "a number of many digits": b'{"alg": "RS256", "kid": "key-1", "iss": "a", "exp": ' + b"1" * 4400 + b"}",
    "a number that is infinite": b'{"alg": "RS256", "kid": "key-1", "iss": "a", "exp": 1e999}',
    "two objects": b'{"alg": "RS256", "kid": "key-1", "iss": "a"}{"alg": "none"}',
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("where", ["header", "claims"])
def test_what_is_no_json_object_with_one_meaning_is_refused(document, where):
    token = join(document, CLAIMS) if where == "header" else join(make_header(), document)

    assert refuse(token) is TokenReason.MALFORMED


ALGORITHMS = [
    "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS384", "RS512", "PS256", "ES256", "ES256K", "EdDSA", "rs256",
    "RS256 ", "RS256\0", "RSA-OAEP", "dir", None, True, 256, ["RS256"], {"RS256": 1}, ...,
]  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_every_algorithm_but_one_is_refused(algorithm):
    assert refuse(join(make_header(alg=algorithm), CLAIMS)) is TokenReason.ALGORITHM


HEADERS = {
    "a key": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    "an empty key": {"jwk": {}},
    "null for a key": {"jwk": None},
    "an address of keys": {"jku": "https://evil.example/jwks"},
    "our issuer's address of keys": {"jku": f"{ISSUER}/.well-known/jwks"},
    "an address of certificates": {"x5u": "https://evil.example/chain.pem"},
    "certificates": {"x5c": ["MIIB"]},
    "something critical": {"crit": ["exp"]},
    "an unencoded payload": {"crit": ["b64"], "b64": False},
    "nothing critical": {"crit": []},
    "another type": {"typ": "at+jwt"},
    "a type in other letters": {"typ": "jwt"},
    "no type at all": {"typ": None},
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_that_brings_a_key_or_changes_the_rules_is_refused(change):
    assert refuse(join(make_header(**change), CLAIMS)) is TokenReason.HEADER


def test_a_header_needs_no_type():
    assert parse_unverified_token(join(make_header(typ=...), CLAIMS)).unverified_key_id == "key-1"


KEY_IDS = [
    ..., "", None, 1, True, ["key-1"], {"key-1": 1}, "../../dev/null", "/etc/passwd", "key-1/../key-2", "key-1\0", "key-1\n",
    " key-1", "key 1", "' OR 1=1 --", "${jndi:ldap://evil.example}", "http://evil.example", "k" * 129, "ключ", "key-1;",
]  # fmt: skip


@pytest.mark.parametrize("key_id", KEY_IDS, ids=repr)
def test_a_header_names_its_key_plainly_or_is_refused(key_id):
    assert refuse(join(make_header(kid=key_id), CLAIMS)) is TokenReason.KEY_ID


@pytest.mark.parametrize("key_id", ["1F2AB83404C08EC9EA0BB99DAED02186B091DBF4", "k" * 128, "a-b_c.d~e=f+g"])
def test_the_names_that_issuers_give_their_keys_are_read(key_id):
    assert parse_unverified_token(join(make_header(kid=key_id), CLAIMS)).unverified_key_id == key_id


@pytest.mark.parametrize(
    "issuer", [..., "", None, 1, True, [ISSUER], {"iss": ISSUER}, "x" * (MAX_ISSUER_LENGTH + 1)], ids=repr
)
def test_claims_name_an_issuer_or_are_refused(issuer):
    assert refuse(join(make_header(), make_claims(iss=issuer))) is TokenReason.UNKNOWN_ISSUER


def test_a_refusal_says_its_reason_and_never_a_value():
    refused = TokenRefused(TokenReason.CLAIM_MISSING, "jti")

    assert (str(refused), refused.reason, refused.claim) == ("claim-missing: jti", TokenReason.CLAIM_MISSING, "jti")
    assert str(TokenRefused(TokenReason.SIGNATURE)) == "signature"


@pytest.mark.parametrize(
    ("text", "fits"),
    [(GOOD, True), ("a.b.c", True), (f"{GOOD}=", False), ("a.b", False), ("", False), ("a.b." + "c" * 8192, False)],
)
def test_the_shape_of_a_token_is_told_without_reading_it(text, fits):
    assert has_compact_shape(text) is fits


@given(st.binary(max_size=200))
def test_bytes_have_one_spelling(data):
    text = encode_part(data)

    assert decode_part(text) == data
    for other in (f"{text}=", f"{text}==", f"{text}\n", f" {text}"):
        with pytest.raises(TokenRefused):
            decode_part(other)


@given(st.text(alphabet="ABCDghwxyz0189-_+/=", max_size=12))
def test_what_decodes_is_what_would_be_written(text):
    try:
        data = decode_part(text)
    except TokenRefused:
        return
    assert base64.urlsafe_b64encode(data).decode().rstrip("=") == text


@given(st.text(max_size=400) | st.text(alphabet="abcAB01-_.", max_size=400))
def test_any_text_is_refused_or_read_and_nothing_else_is_raised(text):
    reason = None
    try:
        parse_unverified_token(text)
    except TokenRefused as refused:
        reason = refused.reason
    assert reason in TokenReason


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "jku", "jwk", "x5u", "x5c", "crit", "x5t", "zip"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=8)
        | st.just("RS256")
        | st.lists(st.text(max_size=3)),
    )
)
def test_a_header_that_is_read_asks_for_the_one_algorithm_and_brings_no_key(header):
    try:
        token = parse_unverified_token(join(header, CLAIMS))
    except TokenRefused:
        return
    assert header["alg"] == "RS256"
    assert token.unverified_key_id == header["kid"]
    assert not {"jku", "jwk", "x5u", "x5c", "crit"} & set(header)


def test_a_header_and_claims_are_bounded_together():
    assert refuse(join(make_header(filler="x" * 7000), CLAIMS)) is TokenReason.TOO_LARGE
    assert len(encode_object(CLAIMS)) < MAX_TOKEN_LENGTH // 2
