"""What an operator decides about a deployment: read once, at the start, from values that are passed in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from coven_action.core.records import Record
from coven_action.errors import EnvironmentFault

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(Record):
    """A deployment.

    Args:
        data: The database file; its companions lie beside it.
        host: Where it listens.
        port: Where it listens; 0 lets the system choose.
        public_url: As runs and people reach it, without a slash at the end; also the audience of ID tokens.
        issuers: Whose ID tokens are looked at: exact URLs.
        default_tier: Of accounts that are enrolled without one.
        require_separate_approver: Whether nobody approves what their own request proposed, whatever accounts say.
    """

    data: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8766
    public_url: str = "http://127.0.0.1:8766"
    issuers: tuple[str, ...] = (GITHUB_ISSUER,)
    default_tier: str = "open"
    require_separate_approver: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: the local administrator's token is honoured nowhere else.

        Behind a proxy everybody comes from this machine, so that the address it is known by has to be one of it as well.
        """
        return self.host in LOOPBACK and urlsplit(self.public_url).hostname in LOOPBACK

    @property
    def audience(self) -> str:
        """What an ID token for this deployment names as its audience."""
        return self.public_url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> "Settings":
        """Read `COVEN_*` variables; what is given by name comes first.

        Raises:
            EnvironmentFault: `invalid-setting`: a value is none that the setting takes.
        """
        read = {
            name: environment[variable]
            for name in cls.model_fields
            if (variable := f"COVEN_{name.upper()}") in environment
        }
        values: dict[str, object] = {**read, **{name: value for name, value in given.items() if value is not None}}
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
