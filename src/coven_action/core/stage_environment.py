"""Which environment variables each stage may see. Pure: a table, and the function that applies it.

`run` and `verify` start programs that are hostile: what their processes do not have, nobody can take from them. So they
never see the GitHub token, and nobody but `run` sees the model's key.
"""

from collections.abc import Mapping
from typing import Final

from coven_action.core.sandbox.toolchains import LIST_VARIABLES, PLAIN_VARIABLES, TOOL_VARIABLES

TOKEN: Final = "COVEN_INPUT_GITHUB_TOKEN"  # noqa: S105 - the name of a variable, not a token
MODEL_KEY: Final = "COVEN_INPUT_MODEL_API_KEY"
ISOLATION: Final = "COVEN_INPUT_ISOLATION"
RUNTIME_PATH: Final = "COVEN_INPUT_RUNTIME_PATH"
FOLDER: Final = "COVEN_INPUT_FOLDER"
PLAN_SHA256: Final = "COVEN_INPUT_PLAN_SHA256"
OUTCOME_SHA256: Final = "COVEN_INPUT_OUTCOME_SHA256"
CHECKS_SHA256: Final = "COVEN_INPUT_CHECKS_SHA256"
STAGE: Final = "COVEN_INPUT_STAGE"
RECEIVED: Final = "COVEN_INPUT_RECEIVED"
INSTALLATION_ID: Final = "COVEN_INPUT_INSTALLATION_ID"
APP_BOT_ID: Final = "COVEN_INPUT_APP_BOT_ID"
ID_TOKEN: Final = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
"""With these whoever has them can ask for an ID token in the job's name: a credential, and so never in `run` or `verify`."""
SECRETS: Final = (TOKEN, MODEL_KEY, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")

_COMMON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "CI",
    "NO_COLOR",
    "GITHUB_ACTIONS",
    "GITHUB_API_URL",
    "GITHUB_EVENT_NAME",
    "GITHUB_OUTPUT",
    "GITHUB_REPOSITORY",
    "GITHUB_REPOSITORY_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_SERVER_URL",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_WORKSPACE",
    "RUNNER_DEBUG",
    "RUNNER_TEMP",
    FOLDER,
)
# What a company's network needs; requests and git read these.
_NETWORK: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
# By these the tools that earlier steps have set up are found, see `toolchains`. They name folders, and hold no secret.
_TOOLS: Final = tuple(sorted((TOOL_VARIABLES | LIST_VARIABLES | PLAIN_VARIABLES) - set(_COMMON)))
STAGE_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "plan": (*_COMMON, *_NETWORK, *ID_TOKEN, "GITHUB_EVENT_PATH", TOKEN, ISOLATION, STAGE, INSTALLATION_ID, APP_BOT_ID),
    "run": (*_COMMON, *_NETWORK, *_TOOLS, MODEL_KEY, RUNTIME_PATH, RECEIVED, PLAN_SHA256),
    "verify": (*_COMMON, *_TOOLS, "RUNNER_ENVIRONMENT", STAGE, RECEIVED, PLAN_SHA256, OUTCOME_SHA256),
    "publish": (
        *_COMMON,
        *_NETWORK,
        *ID_TOKEN,
        TOKEN,
        APP_BOT_ID,
        RECEIVED,
        PLAN_SHA256,
        OUTCOME_SHA256,
        CHECKS_SHA256,
    ),
}


def filter_environment(stage: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a stage may see of an environment."""
    return {name: environment[name] for name in STAGE_VARIABLES[stage] if name in environment}
