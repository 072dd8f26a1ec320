"""The secrets that are known by their looks: what issuers publish about the form of their tokens, as two tables.

Pure. A *shape* is an expression that begins with a literal, so that looking for it is looking for bytes; what must
stand before the literal is checked after it was found. All literals are searched at once. A *prefix* is the word before
an underscore, hyphen or full stop that a run of twenty letters and digits or more follows.

The work is linear in the text: repetitions are bounded or possessive, no two neighbouring ones accept the same byte,
and an expression that needs something after a long run takes the run even where the rest is missing, so that no byte
is read again from the next start.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from coven_action.core.redaction.pairs import Places

Span = tuple[int, int, str]
"""Start, end and kind."""

TOKEN: Final = 20
"""The shapes of `TOKEN_SHAPES` and `PREFIXES` have at least this many characters."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One known shape.

    Args:
        kind: What people read in place of the secret.
        literals: A text of this shape contains one of these at its beginning, `shift` bytes before the match.
        expression: Finds the secret. Where it has groups, only a match in which one took part is a secret, and the
            group is the part to cover.
        before: How many bytes before the match belong to the secret.
        shift: How many bytes of a literal stand before the match.
    """

    kind: str
    literals: tuple[bytes, ...]
    expression: re.Pattern[bytes]
    before: int = 0
    shift: int = 0

    def find_spans(self, text: bytes, places: Places) -> Iterator[Span]:
        """Yield the secrets of this shape, given the places of its literals; matches do not overlap each other."""
        done = 0
        for place in sorted(chain.from_iterable(places.get(literal, ()) for literal in self.literals)):
            match = self.expression.match(text, place + self.shift) if place + self.shift >= done else None
            if match is None:
                continue
            done = match.end()
            if match.lastindex or not self.expression.groups:
                start, end = match.span(match.lastindex or 0)
                yield start - self.before, end, self.kind


def _shape(kind: str, literals: str, expression: str, before: int = 0, shift: int = 0) -> Shape:
    return Shape(kind, tuple(literals.encode().split()), re.compile(expression.encode()), before, shift)


# Shapes of letters, digits and `_.~-` alone, of at least `TOKEN` characters, at least one of which is a capital or a
# digit (for random ones the contrary happens once in 30 million at the shortest), and not all hexadecimal digits.
# Each group names where its issuer describes the form.
TOKEN_SHAPES: Final[tuple[Shape, ...]] = (
    # docs.github.com, "About authentication to GitHub"; installation tokens have dots since 2026.
    _shape("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9._-]{35,2047}[A-Za-z0-9_-]"),
    _shape("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{36,255}"),
    # docs.anthropic.com; platform.openai.com. T3BlbkFJ is "OpenAI" in base64.
    _shape("Anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{32,255}"),
    _shape(
        "OpenAI key",
        "sk-",
        r"sk-(?<![A-Za-z0-9]sk-)(?:(?:proj|svcacct|admin|None|service)-[A-Za-z0-9_-]{20,255}"
        r"|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20,64})",
    ),
    # Several model services took the form over: sk- and 32 to 64 letters and digits, or a version and hexadecimal.
    _shape("model API key", "sk-", r"sk-(?<![A-Za-z0-9_-]sk-)(?:or-v1-[0-9a-f]{64}|[A-Za-z0-9]{32,64})(?![A-Za-z0-9])"),
    # cloud.google.com/docs/authentication: API key, OAuth access token, client secret, refresh token.
    _shape("Google API key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _shape("Google OAuth token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,1024}"),
    _shape("Google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    # docs.aws.amazon.com/IAM, "IAM identifiers": the four letters and 16 of base32.
    _shape(
        "AWS access key",
        "AKIA ASIA ABIA",
        r"IA(?<=A[KSB]IA)(?<![A-Za-z0-9]A.IA)[A-Z2-7]{16}(?![A-Za-z0-9])",
        before=2,
        shift=2,
    ),
    _shape("AWS access key", "ACCA", r"ACCA(?<![A-Za-z0-9]ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    # learn.microsoft.com: Entra client secret, storage and bus keys, shared access signatures, DevOps and other keys
    # with an identifying mark near their end.
    _shape(
        "Azure client secret",
        "0Q~ 1Q~ 2Q~ 3Q~ 4Q~ 5Q~ 6Q~ 7Q~ 8Q~ 9Q~",
        r"Q~(?<=[A-Za-z0-9_~.-]{3}[0-9]Q~)[A-Za-z0-9_~.-]{31,34}",
        before=4,
        shift=1,
    ),
    _shape("Azure DevOps token", "AZDO", r"AZDO(?<=[A-Za-z0-9]{76}AZDO)[A-Za-z0-9]{4}", 76),
    _shape("Azure key", "JQQJ99", r"JQQJ99(?<=[A-Za-z0-9]{52}JQQJ99)[A-Za-z0-9]{26}", 52),
    # api.slack.com/authentication/token-types.
    _shape("Slack token", "xox", r"xox(?:[abeoprsc]-|e\.xox[bp]-)[A-Za-z0-9-]{16,400}"),
    _shape("Slack token", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{20,400}"),
    # docs.stripe.com/keys.
    _shape("Stripe key", "k_live_ k_test_", r"k_(?<=[rs]k_)(?<![A-Za-z0-9].k_)(?:live|test)_[A-Za-z0-9]{16,247}", 1),
    # pypi.org/help/#apitoken: a macaroon, base64 of a version and the location.
    _shape("PyPI token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,1024}"),
    # docs.docker.com/security/access-tokens.
    _shape("Docker token", "dckr_", r"dckr_[po]at_[A-Za-z0-9_-]{27,64}"),
    # docs.gitlab.com/security/tokens, "Token prefixes"; grafana.com/docs service accounts.
    _shape(
        "GitLab token",
        "glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- gloas- glsoat- glffct- glrtr-",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|rtr)-[A-Za-z0-9_.-]{19,299}[A-Za-z0-9_-]",
    ),
    _shape("GitLab token", "GR1348941", r"GR1348941[A-Za-z0-9_-]{20}"),
    _shape("Grafana token", "glsa_", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    # RFC 7519 and 7516: three parts of which two are JSON objects in base64url, or five of which the first is.
    _shape(
        "JWT",
        "eyJ",
        r"eyJ(?:([A-Za-z0-9_-]{10,}+\.(?:eyJ[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]*+"
        r"|[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]{10,}+){3}))|[A-Za-z0-9_-]*+)",
        3,
    ),
    # age-encryption.org, an identity in Bech32.
    _shape("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    # docs.sendgrid.com; core.telegram.org/bots; discord.com/developers; developer.hashicorp.com/vault.
    _shape("SendGrid key", "SG.", r"SG\.(?<![A-Za-z0-9]SG\.)[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _shape("Vault token", "hvs. hvb.", r"hv[sb]\.(?<![A-Za-z0-9]hv.\.)[A-Za-z0-9_-]{24,300}"),
    _shape("Atlassian token", "ATATT3", r"ATATT3[A-Za-z0-9_-]{60,255}"),
)

# Shapes in which other characters occur.
OTHER_SHAPES: Final[tuple[Shape, ...]] = (
    # docs.github.com, "Authenticating as a GitHub App installation": the token is the password of this user.
    _shape("GitHub token", "x-access-token:", r"x-access-token:([A-Za-z0-9._~%+/=-]{8,2048})"),
    # The same in base64, as actions/checkout writes it into http.extraheader.
    _shape("GitHub token", "eC1hY2Nlc3MtdG9rZW46", r"eC1hY2Nlc3MtdG9rZW46([A-Za-z0-9+/=_-]{8,4096})"),
    _shape("Google OAuth token", "1//0", r"1//0(?<![A-Za-z0-9/]1//0)[A-Za-z0-9_-]{40,255}"),
    _shape("AWS Bedrock key", "ABSK", r"ABSK(?<![A-Za-z0-9+/]ABSK)[A-Za-z0-9+/]{109,269}={0,2}"),
    _shape("Azure signature", "sig=", r"sig=(?<=[?&]sig=)([A-Za-z0-9%+/]{40,80}(?:%3[Dd]|=))"),
    # api.slack.com/messaging/webhooks.
    _shape(
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{40,60})",
    ),
    _shape("Telegram token", ":AA", r":AA(?<=[0-9]{8}:AA)[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])", 8),
    _shape("Discord webhook", "/api/webhooks/", r"/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_-]{60,80})"),
    # RFC 3986, userinfo: a password before the host, or a long random user name alone.
    _shape(
        "password in a URL",
        "://",
        r"://(?:[A-Za-z0-9._~%!$&'()*+,;=-]{0,128}:((?![0-9]{1,5}@|[*xX.]{1,255}@|[$<{%(]|(?i:"
        r"pass(?:wd|word|phrase)?|pwd|secret|token|user(?:name)?|root|admin|guest|test|postgres|x-oauth-basic)@)"
        r"[!#-&(-.0-;=?A-_a-z|~]{3,255})@[A-Za-z0-9\[]|([A-Za-z0-9]{40,255})@[A-Za-z0-9])",
    ),
    # RFC 6750 and 7617, as they stand in a request that was logged.
    _shape(
        "authorization header",
        "Bearer bearer",
        r"earer (?<=[Bb]earer )(?=[A-Za-z._~+/-]{0,64}+[0-9])([A-Za-z0-9._~+/-]{20,4096}={0,2})",
        shift=1,
    ),
    _shape(
        "authorization header",
        "Basic basic",
        r"asic (?:(?<=[:='\"] [Bb]asic )|(?<=[:='\"][Bb]asic ))(?=[A-Za-z]{0,64}+[0-9+/=])"
        r"([A-Za-z0-9+/]{12,512}={0,2})",
        shift=1,
    ),
)

# The word before the run, what it is a token of, and the length of the run.
PREFIXES: Final[Mapping[bytes, tuple[str, int, int]]] = {
    b"npm_": ("npm token", 36, 36),
    b"hf_": ("Hugging Face token", 34, 40),
    b"gsk_": ("Groq key", 48, 64),
    b"whsec_": ("Stripe key", 24, 64),
    b"dop_v1_": ("DigitalOcean token", 64, 64),
    b"doo_v1_": ("DigitalOcean token", 64, 64),
    b"dor_v1_": ("DigitalOcean token", 64, 64),
    b"shpat_": ("Shopify token", 32, 64),
    b"shpca_": ("Shopify token", 32, 64),
    b"shppa_": ("Shopify token", 32, 64),
    b"shpss_": ("Shopify token", 32, 64),
    b"rubygems_": ("RubyGems key", 48, 48),
    b"lin_api_": ("Linear key", 40, 40),
    b"sbp_": ("Supabase token", 40, 40),
    b"ntn_": ("Notion token", 43, 50),
    b"squ_": ("SonarQube token", 40, 40),
    b"sqp_": ("SonarQube token", 40, 40),
    b"nvapi-": ("NVIDIA key", 60, 70),
    b"xai-": ("xAI key", 80, 80),
    b"pplx-": ("Perplexity key", 48, 56),
    b"NRAK-": ("New Relic key", 27, 27),
    b"PMAK-": ("Postman key", 24, 24),
    b"tfp_": ("Typeform token", 40, 64),
    b"pul-": ("Pulumi token", 40, 40),
    b"dp.pt.": ("Doppler token", 40, 44),
    b"r8_": ("Replicate token", 37, 40),
    b"key-": ("Mailgun key", 32, 32),
}
