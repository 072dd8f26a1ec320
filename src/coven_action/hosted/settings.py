"""What an operator decides about a deployment: read once, at the start, from values that are passed in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.core.records import Record
from coven_action.errors import EnvironmentFault
from coven_action.hosted.oidc import parse_issuer
from coven_action.hosted.tier_settings import TierSettings

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
ADMIN_HOST: Final = "127.0.0.1"
"""Where the administrator's own port is: no other machine reaches it, and no proxy is told of it."""
VARIABLES: Final = {"database_url": "DATABASE_URL"}
"""Settings whose variable has a name that others use as well."""
_DATABASES: Final = frozenset({"data", "database_url"})


def _flatten_issuer(given: object) -> object:
    """Return an issuer that is written as a table as the line that says the same."""
    if isinstance(given, dict):
        if given.keys() != {"url", "account_id"} or not isinstance(given["url"], str) or "=" in given["url"]:
            raise ValueError("an issuer is a URL, URL=ACCOUNT_ID, or a table of url and account_id")
        return f"{given['url']}={given['account_id']}"
    return given


def _check_issuer(line: str) -> str:
    try:
        parse_issuer(line)
    except EnvironmentFault as fault:
        raise ValueError(fault.message.rstrip(".")) from fault
    return line


IssuerLine = Annotated[str, BeforeValidator(_flatten_issuer), AfterValidator(_check_issuer)]
"""`URL`, or `URL=ACCOUNT_ID`."""


class Settings(Record):
    """A deployment.

    Args:
        data: The database file; its companions lie beside it. Or else `database_url`.
        database_url: Of the PostgreSQL database, with its password; never shown. Or else `data`.
        signing_key: The file of the key that signs the heads of the audit logs; otherwise it lies beside the database file.
        host: Where it listens.
        port: Where it listens; 0 lets the system choose.
        admin_port: Where, on this machine's loopback address alone, the local administrator's token holds when `public_url`
            is one of other machines; 0 takes a free one.
        public_url: As runs and people reach it, without a slash at the end; also the audience of ID tokens.
        issuers: Whose ID tokens are looked at: exact URLs. One that is not GitHub's own speaks for one account, by its id
            there: `URL=ACCOUNT_ID`, or in a file a table with `url` and `account_id`.
        require_separate_approver: Whether nobody approves what their own request proposed, whatever accounts say.
        min_free_disk_percent: While less of the database file's disk is free, nothing new is written; 0 never stops.
        replicas: How many processes serve the database; each allows its share of every rate.
        tiers: By tier, caps that replace the built-in ones: `[tiers.open]` with the names of `admin caps`.
    """

    data: Path | None = None
    database_url: str | None = Field(default=None, repr=False)
    signing_key: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8766
    admin_port: Annotated[int, Field(ge=0, le=65_535)] = 8767
    public_url: str = "http://127.0.0.1:8766"
    issuers: tuple[IssuerLine, ...] = (GITHUB_ISSUER,)
    require_separate_approver: bool = False
    min_free_disk_percent: Annotated[int, Field(ge=0, le=50)] = 5
    replicas: Annotated[int, Field(ge=1, le=1_000)] = 1
    tiers: TierSettings = TierSettings()

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it, so that the local administrator's token holds where everybody asks.

        Behind a proxy everybody comes from this machine, so that the address it is known by has to be one of it as well.
        Where it is not, the token holds at `admin_port`, to which no proxy leads.
        """
        return self.host in LOOPBACK and urlsplit(self.public_url).hostname in LOOPBACK

    @property
    def address(self) -> str:
        """Where it listens."""
        return _render_address(self.host, self.port)

    @property
    def admin_url(self) -> str:
        """As the local administrator reaches it, from this machine."""
        return self.public_url if self.is_local else _render_address(ADMIN_HOST, self.admin_port)

    @property
    def audience(self) -> str:
        """What an ID token for this deployment names as its audience."""
        return self.public_url

    def find_signing_key(self) -> Path:
        """Return the file of the key that signs the heads of the audit logs.

        Raises:
            EnvironmentFault: `invalid-setting`: nobody said which; a database of PostgreSQL has no folder it could lie in.
        """
        if self.signing_key is not None:
            return self.signing_key
        if self.data is None:
            raise EnvironmentFault(
                "invalid-setting",
                "Nothing says where the key lies that signs the audit log.",
                remedy="Give every replica the same file, with COVEN_SIGNING_KEY or --signing-key; the first start makes it.",
            )
        return self.data.with_name(f"{self.data.name}.key")

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], written: Mapping[str, object] | None = None, /, **given: object
    ) -> "Settings":
        """Read `COVEN_*` variables; what is given by name comes first, and what a file says last.

        Args:
            environment: The process's.
            written: What the settings file says.
            given: What the command line says; None where it says nothing.

        Raises:
            EnvironmentFault: `invalid-setting`: a value is none that the setting takes.
        """
        read = {
            name: environment[variable]
            for name in cls.model_fields
            if (variable := VARIABLES.get(name, f"COVEN_{name.upper()}")) in environment
        }
        said = {name: value for name, value in given.items() if value is not None}
        # A command line's database is not mixed with the environment's; and an image may name a file for whoever says nothing.
        hidden = _DATABASES if said.keys() & _DATABASES else frozenset({"data"} if "database_url" in read else ())
        read = {name: value for name, value in read.items() if name not in hidden}
        file = dict(written or {})
        if (said.keys() | read.keys()) & _DATABASES:
            file = {name: value for name, value in file.items() if name not in _DATABASES}
        values: dict[str, object] = {**file, **read, **said}
        if len(values.keys() & _DATABASES) != 1:
            raise EnvironmentFault(
                "invalid-setting",
                "Say where the data lies, once: in a file (COVEN_DATA), or in PostgreSQL (DATABASE_URL).",
            )
        if isinstance(values.get("issuers"), str):
            values["issuers"] = tuple(str(values["issuers"]).split())
        try:
            settings = cls.model_validate(values, strict=False)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise EnvironmentFault("invalid-setting", f"The setting {first['loc'][0]}: {first['msg']}.") from error
        parts = urlsplit(settings.public_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or settings.public_url.endswith("/"):
            raise EnvironmentFault(
                "invalid-setting", "The setting public_url is no http(s) URL without a slash at its end."
            )
        return settings


def _render_address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
