"""The entropy rule: what is a random value of a secret-looking name, and what only looks so."""

import pytest

from coven_action.core.redaction.assignments import find_assignments, is_benign, is_random, measure_entropy
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.search import find_places

RANDOM = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
HEX = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize(
    "line",
    [
        f'api_key = "{RANDOM}"',
        f"API-KEY: {RANDOM}",
        f"export CLIENT_SECRET={RANDOM}",
        f'{{"auth_token":"{RANDOM}"}}',
        f"os.environ['SERVICE_TOKEN'] = '{RANDOM}'",
        f"secret => '{RANDOM}',",
        f'{{\\"password\\": \\"{RANDOM}\\"}}',
        f"--token={RANDOM}",
        f"?access_token={RANDOM}&page=2",
        f"client_secret={HEX}",
        "aws_secret_access_key = wJa/rXUtn+FEMIK7MDENGbPxRfiCYzQ3Lkd8Vp2T",
        'password: "Tr0ub4dor&3"',
        'passwd = "correct!horse?battery"',
        f'("token", "{RANDOM}")',
    ],
)
def test_a_random_value_of_a_secret_looking_name_is_covered(line):
    redacted = Redactor.build().redact(line)

    assert redacted.counts == {"value of a secret": 1}
    assert RANDOM not in redacted
    assert Redactor.build().redact(redacted) == redacted


@pytest.mark.parametrize(
    "line",
    [
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "password=$DB_PASSWORD_FROM_VAULT_1",
        'api_key = "your-api-key-goes-here-123"',
        'secret = "xxxxxxxxxxxxxxxxxxxxxxxx1"',
        "secret: <the-secret-value-of-app-1>",
        "token = get_token_from_vault_v2(name)",
        "token = self.session.headers2.token",
        "auth = requests.auth.HTTPBasicAuth2",
        "key = hashlib.sha256(value1234567890)",
        f"monkey = '{RANDOM}'",
        f"token_id: {RANDOM}",
        f"secret_key_len = {RANDOM}",
        "secret = crypto_sign_curve25519_BYTES",
        f"secret_name = '{RANDOM}'",
        f"token_url: https://example.com/{RANDOM}",
        f"api_key_hash: {RANDOM}",
        f"integrity sha512-{RANDOM}",
        f"token: sha256-{RANDOM}",
        f"tokens[i] = values[{RANDOM}",
        "private_key: Ed25519PrivateKey | Ed448PrivateKey",
        "RSAPrivateKey, EllipticCurvePrivateKey",
        "token: 2026-11-21T13:29:42Z",
        "password = 'password1234567'",
        "password = None",
        "secret",
        'secret = "short1"',
        'token = "lowercase-words-only"',
        'token = "1234567890123456789"',
        'client_secret = "00000000000000000000000000000a"',
        f"client_secret = {HEX[:20]}",
        "secret = aaaaaaaaaaaaaaaaaaaaaaa1",
        f"token, {RANDOM}",
        "+    token = config/paths/deploy_key",
    ],
)
def test_references_placeholders_hashes_and_words_are_left_alone(line):
    assert Redactor.build().redact(line) == line


@pytest.mark.parametrize(("value", "bits"), [(b"aaaa", 0.0), (b"abab", 1.0), (b"abcd", 2.0), (bytes(range(256)), 8.0)])
def test_entropy_is_counted_in_bits_per_character(value, bits):
    assert measure_entropy(value) == pytest.approx(bits)


def test_random_and_benign_exclude_each_other():
    assert is_random(RANDOM.encode())
    assert not is_benign(RANDOM.encode())
    assert not is_random(b"example-" + RANDOM.encode())


def test_hostile_repetition_of_names_is_searched_once():
    """Each name is tried once and reads a bounded stretch, so findings grow at most with the text."""
    for text in (b"secret=" * 5000, b"api_key:" * 5000):
        assert list(find_assignments(text, find_places(text))) == []
