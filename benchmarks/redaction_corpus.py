"""A labelled corpus for the redactor and its rivals: lines with one known secret, and real lines without any.

This module does not import the redactor. The positives are drawn from what issuers publish about the form of their
tokens; each bears the name that scanners of the gitleaks family give to its rule. They are drawn at run time from a
fixed seed, so that no token stands in the repository. The negatives are material that is really there: lock files,
the history of this repository, file lists with hashes of installed packages, and the output of a test run.
"""

import base64
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
BASE32 = string.ascii_uppercase + "234567"
URLSAFE = ALNUM + "_-"
BASE64 = ALNUM + "+/"
PACKAGES = ("pip/_internal", "requests", "jwt", "github", "urllib3", "_pytest")


@dataclass(frozen=True)
class Positive:
    """One line with a secret in it, and the secret."""

    rule: str
    line: str
    secret: str


Draw = Callable[[random.Random], str]


def _chars(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def _token(prefix: str, alphabet: str, count: int, suffix: str = "") -> Draw:
    return lambda rng: prefix + _chars(rng, alphabet, count) + suffix


def _github_pat(rng: random.Random) -> str:
    return f"github_pat_11{_chars(rng, UPPER, 20)}_{_chars(rng, ALNUM, 59)}"


def _base64url(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _jwt(rng: random.Random) -> str:
    claims = {"sub": _chars(rng, string.digits, 10), "iat": rng.randrange(10**9, 2 * 10**9), "name": "someone"}
    return f"{_base64url({'alg': 'HS256', 'typ': 'JWT'})}.{_base64url(claims)}.{_chars(rng, URLSAFE, 43)}"


def _github_installation(rng: random.Random) -> str:
    claims = {"iss": "github", "iat": rng.randrange(10**9, 2 * 10**9), "jti": _chars(rng, ALNUM, 120)}
    return f"ghs_{_base64url({'alg': 'ES256', 'typ': 'JWT'})}.{_base64url(claims)}.{_chars(rng, URLSAFE, 86)}"


def _private_key(rng: random.Random) -> str:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + _chars(rng, BASE64, 64 * 24)
    lines = "\\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN PRIVATE KEY-----\\n{lines}\\n-----END PRIVATE KEY-----\\n"


def _slack_bot(rng: random.Random) -> str:
    return f"xoxb-{_chars(rng, string.digits, 12)}-{_chars(rng, string.digits, 13)}-{_chars(rng, ALNUM, 24)}"


def _slack_webhook(rng: random.Random) -> str:
    return f"T{_chars(rng, UPPER, 10)}/B{_chars(rng, UPPER, 10)}/{_chars(rng, ALNUM, 24)}"


def _uuid(rng: random.Random) -> str:
    digits = _chars(rng, HEX, 32)
    return "-".join([digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:]])


def _azure_secret(rng: random.Random) -> str:
    return f"{_chars(rng, ALNUM, 3)}8Q~{_chars(rng, ALNUM + '_.~-', 34)}"


# Rule id as scanners name it, how the secret is drawn, and how it stands in a line.
RULES: tuple[tuple[str, Draw, str], ...] = (
    ("github-pat", _token("ghp_", ALNUM, 36), "{}"),
    ("github-fine-grained-pat", _github_pat, "{}"),
    ("github-oauth", _token("gho_", ALNUM, 36), "{}"),
    ("github-app-token", _token("ghu_", ALNUM, 36), "{}"),
    ("github-app-token", _token("ghs_", ALNUM, 36), "{}"),
    ("github-app-token", _github_installation, "{}"),
    ("github-refresh-token", _token("ghr_", ALNUM, 36), "{}"),
    ("github-clone-url", _token("ghs_", ALNUM, 36), "https://x-access-token:{}@github.com/octo/repo.git"),
    ("anthropic-api-key", _token("sk-ant-api03-", URLSAFE, 93, "AA"), "{}"),
    ("anthropic-admin-api-key", _token("sk-ant-admin01-", URLSAFE, 93, "AA"), "{}"),
    ("openai-api-key", lambda rng: f"sk-{_chars(rng, ALNUM, 20)}T3BlbkFJ{_chars(rng, ALNUM, 20)}", "{}"),
    (
        "openai-api-key",
        lambda rng: f"sk-proj-{_chars(rng, URLSAFE, 74)}T3BlbkFJ{_chars(rng, URLSAFE, 74)}",
        "{}",
    ),
    ("gcp-api-key", _token("AIza", URLSAFE, 35), "{}"),
    ("google-client-secret", _token("GOCSPX-", URLSAFE, 28), "{}"),
    ("aws-access-token", _token("AKIA", BASE32, 16), "{}"),
    ("aws-access-token", _token("ASIA", BASE32, 16), "{}"),
    ("aws-secret-access-key", _token("", BASE64, 40), "aws_secret_access_key = {}"),
    ("azure-ad-client-secret", _azure_secret, "{}"),
    (
        "azure-storage-key",
        _token("", BASE64, 86, "=="),
        "AccountName=app;AccountKey={};EndpointSuffix=core.windows.net",
    ),
    ("slack-bot-token", _slack_bot, "{}"),
    ("slack-webhook-url", _slack_webhook, "https://hooks.slack.com/services/{}"),
    ("stripe-access-token", _token("sk_live_", ALNUM, 99), "{}"),
    ("stripe-access-token", _token("rk_test_", ALNUM, 24), "{}"),
    ("npm-access-token", _token("npm_", ALNUM, 36), "{}"),
    ("npm-auth", _uuid, "//registry.npmjs.org/:_authToken={}"),
    ("pypi-upload-token", _token("pypi-AgEIcHlwaS5vcmc", URLSAFE, 160), "{}"),
    ("docker-pat", _token("dckr_pat_", URLSAFE, 27), "{}"),
    ("gitlab-pat", _token("glpat-", URLSAFE, 20), "{}"),
    ("gitlab-deploy-token", _token("gldt-", URLSAFE, 20), "{}"),
    ("gitlab-rrt", _token("GR1348941", URLSAFE, 20), "{}"),
    ("jwt", _jwt, "{}"),
    ("jwt", _jwt, "Authorization: Bearer {}"),
    ("private-key", _private_key, '"key": "{}"'),
    ("url-password", _token("", ALNUM, 18), "postgres://app:{}@db.internal:5432/app"),
    ("generic-api-key", _token("", ALNUM, 32), 'api_key = "{}"'),
    ("generic-api-key", _token("", HEX, 40), "CLIENT_SECRET={}"),
    ("generic-api-key", _token("", BASE64, 44), "SIGNING_TOKEN: {}"),
    ("generic-api-key", _token("", ALNUM + "!#%*", 20), 'password: "{}"'),
    (
        "authorization-basic",
        lambda rng: base64.b64encode(b"app:" + rng.randbytes(15)).decode(),
        "Authorization: Basic {}",
    ),
    ("huggingface-access-token", _token("hf_", string.ascii_letters, 34), "{}"),
    ("digitalocean-pat", _token("dop_v1_", HEX, 64), "{}"),
    ("sendgrid-api-token", lambda rng: f"SG.{_chars(rng, URLSAFE, 22)}.{_chars(rng, URLSAFE, 43)}", "{}"),
    ("shopify-access-token", _token("shpat_", HEX, 32), "{}"),
    ("vault-service-token", _token("hvs.", URLSAFE, 95), "{}"),
    ("grafana-service-account-token", lambda rng: f"glsa_{_chars(rng, ALNUM, 32)}_{_chars(rng, HEX, 8)}", "{}"),
    ("age-secret-key", _token("AGE-SECRET-KEY-1", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58), "{}"),
)

# Where the secret stands when its rule does not say: a log, a shell script, YAML, JSON, a diff, a URL.
PLACES = (
    "{}",
    "2026-11-21T13:29:42.1234567Z using {} for the request",
    'export TOKEN="{}"',
    "  token: {}",
    '{{"token":"{}","ok":true}}',
    "+    client = Client('{}')",
    "curl https://example.com/?access_token={}&page=2",
)


def build_positives(each: int, seed: int = 2026) -> list[Positive]:
    """Draw `each` lines of every rule."""
    rng = random.Random(seed)  # noqa: S311 (a corpus wants repeatable draws, not secrecy)
    positives = []
    for rule, draw, form in RULES:
        for number in range(each):
            secret = draw(rng)
            place = PLACES[number % len(PLACES)] if form == "{}" else "{}"
            positives.append(Positive(rule, place.format(form.format(secret)), secret))
    return positives


def read_negatives() -> dict[str, list[str]]:
    """Return real lines without secrets, by where they come from. Only what is there is read."""
    sources = {
        "lock files": read_lock_files(),
        "history of this repository": _read_history(),
        "file lists with hashes": read_records(),
        "sources of installed packages": read_sources(),
        "output of a test run": _read_test_output(),
    }
    return {name: list(dict.fromkeys(line for line in lines if line.strip())) for name, lines in sources.items()}


def read_lock_files() -> Iterator[str]:
    """Yield the lines of the lock files in requirements/."""
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        yield from path.read_text(encoding="utf-8").splitlines()


def _read_history() -> Iterator[str]:
    command = ["git", "-C", str(ROOT), "log", "-p", "--max-count=200", "--", ".", ":!tests", ":!benchmarks"]
    text = subprocess.run(command, capture_output=True, check=False).stdout.decode("utf-8", "replace")
    yield from text.splitlines()[:20_000]


def _site_packages() -> Path:
    return Path(next(path for path in sys.path if path.endswith("site-packages")))


def read_records() -> Iterator[str]:
    """Yield lines of the file lists, with hashes, of installed packages."""
    for path in sorted(_site_packages().glob("*.dist-info/RECORD"))[:40]:
        yield from path.read_text(encoding="utf-8").splitlines()[:200]


def read_sources(packages: tuple[str, ...] = PACKAGES) -> Iterator[str]:
    """Yield the lines of installed packages, among them some that deal with tokens and passwords."""
    for name in packages:
        for path in sorted((_site_packages() / name).rglob("*.py"))[:40]:
            yield from path.read_text(encoding="utf-8").splitlines()


def _read_test_output() -> Iterator[str]:
    # Without what stands in brackets: the parameters of a test may be made-up secrets, positives without a label.
    command = [sys.executable, "-P", "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).stdout.decode("utf-8", "replace")
    names = (line.partition("[")[0] for line in text.splitlines())
    yield from (f"2026-11-21T13:29:42.{number:07d}Z {name} PASSED" for number, name in enumerate(names))
