"""The local GitHub's issuer of ID tokens: discovery, key set, and what a job asks for a token.

It signs the claims that GitHub signs for a run of a workflow, with either format of `sub`
(https://docs.github.com/en/actions/reference/security/oidc). What goes wrong on the way is `Faults`' affair, as with
every other route; a token with other claims, or another key, is minted by a test directly.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coven_action.emulator.state import Repository, WorkflowRun
from coven_action.emulator.world import World

KEY_BITS: Final = 2048
KEPT_KEYS: Final = 3
"""Keys that stay in the key set: the one that signs and those before it, whose tokens are still out."""
LIFETIME: Final = timedelta(minutes=5)
BACKDATED: Final = timedelta(minutes=10)
"""GitHub's tokens say that they are valid since ten minutes before their issue."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of the issuer."""

    key_id: str
    private_key: rsa.RSAPrivateKey

    @property
    def public(self) -> dict[str, Any]:
        """Its entry in the key set."""
        entry = RSAAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.key_id, "n": entry["n"], "e": entry["e"]}


@dataclass(frozen=True, slots=True)
class Job:
    """A job that may ask for tokens."""

    repository: Repository
    run: WorkflowRun
    environment: str | None = None


def make_key() -> SigningKey:
    """Return a new key with a name of its own."""
    return SigningKey(secrets.token_hex(20).upper(), rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))


class LocalIssuer:
    """The issuer of a local GitHub; its address is `{url}/oidc`.

    Args:
        world: The state of the local GitHub.

    Attributes:
        has_ids_in_subject: Whether `sub` names owner and repository with their ids, as it does for repositories made
            since 15 July 2026.
        protects_branches: Whether `ref_protected` is said of the runs.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys: list[SigningKey] = []
        self._jobs: dict[str, Job] = {}
        self.has_ids_in_subject = True
        self.protects_branches = True

    @property
    def url(self) -> str:
        """The value of `iss`."""
        return f"{self._world.html_url}/oidc"

    @property
    def key(self) -> SigningKey:
        """The key that signs now. The first is made when it is first asked for, since that takes a moment."""
        return self._keys[-1] if self._keys else self.rotate()

    def rotate(self, key: SigningKey | None = None) -> SigningKey:
        """Sign with another key from now on, a new one unless it is given."""
        self._keys = [*self._keys, key or make_key()][-KEPT_KEYS:]
        return self._keys[-1]

    def permit(self, repository: Repository, run: WorkflowRun, *, environment: str | None = None) -> dict[str, str]:
        """Return the variables of a job that has `id-token: write`."""
        token = secrets.token_urlsafe(24)
        self._jobs[token] = Job(repository, run, environment)
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
        }

    def mint(self, job: Job, audience: str | None = None, **claims: Any) -> str:
        """Return a token for a job.

        Args:
            job: Whose.
            audience: GitHub's default is the owner's address.
            claims: Take the place of what GitHub would say; None leaves a claim out.
        """
        said = self.describe(job, audience) | claims
        kept = {name: value for name, value in said.items() if value is not None}
        key = self.key
        return jwt.encode(kept, key.private_key, algorithm="RS256", headers={"kid": key.key_id, "x5t": key.key_id})

    def describe(self, job: Job, audience: str | None = None) -> dict[str, Any]:
        """Return the claims that GitHub signs for a job."""
        repository, run = job.repository, job.run
        ref = f"refs/heads/{run.head_branch}"
        workflow_ref = f"{repository.full_name}/{run.path}@{ref}"
        now = self._world.clock()
        moments = {"iat": now, "nbf": now - BACKDATED, "exp": now + LIFETIME}
        return {
            "iss": self.url,
            "aud": audience or f"{self._world.html_url}/{repository.owner.login}",
            "sub": self._describe_subject(job, ref),
            "jti": secrets.token_hex(16),
            **{name: int(moment.timestamp()) for name, moment in moments.items()},
            "actor": run.actor.login,
            "actor_id": str(run.actor.id),
            "base_ref": "",
            "check_run_id": str(self._world.next_id()),
            "environment": job.environment,
            "event_name": run.event,
            "head_ref": "",
            "job_workflow_ref": workflow_ref,
            "job_workflow_sha": run.head_sha,
            "ref": ref,
            "ref_protected": "true" if self.protects_branches else "false",
            "ref_type": "branch",
            "repository": repository.full_name,
            "repository_id": str(repository.id),
            "repository_owner": repository.owner.login,
            "repository_owner_id": str(repository.owner.id),
            "repository_visibility": repository.visibility,
            "run_attempt": str(run.run_attempt),
            "run_id": str(run.id),
            "run_number": str(run.run_number),
            "runner_environment": "github-hosted",
            "sha": run.head_sha,
            "workflow": run.name,
            "workflow_ref": workflow_ref,
            "workflow_sha": run.head_sha,
        }

    def _describe_subject(self, job: Job, ref: str) -> str:
        repository, owner = job.repository, job.repository.owner
        names = ((owner.login, owner.id), (repository.name, repository.id))
        place = "/".join(f"{name}@{number}" if self.has_ids_in_subject else name for name, number in names)
        if job.environment:
            # A colon would end the part; see the reference above.
            return f"repo:{place}:environment:{job.environment.replace(':', '%3A')}"
        return f"repo:{place}:pull_request" if job.run.event.startswith("pull_request") else f"repo:{place}:ref:{ref}"

    def build_routes(self) -> list[Route]:
        """Return the routes under `/oidc`."""
        return [
            Route("/oidc/.well-known/openid-configuration", self._answer_discovery, methods=["GET"]),
            Route("/oidc/.well-known/jwks", self._answer_keys, methods=["GET"]),
            Route("/oidc/token", self._answer_token, methods=["GET"]),
        ]

    async def _answer_discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks",
                "subject_types_supported": ["public", "pairwise"],
                "response_types_supported": ["id_token"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
            }
        )

    async def _answer_keys(self, _request: Request) -> Response:
        with self._world.lock:
            keys = self._keys or [self.key]
            return JSONResponse({"keys": [key.public for key in keys]})

    async def _answer_token(self, request: Request) -> Response:
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        job = self._jobs.get(credential)
        if job is None or scheme.casefold() != "bearer":
            return JSONResponse({"message": "the job may ask for no token"}, 401)
        with self._world.lock:
            return JSONResponse({"value": self.mint(job, request.query_params.get("audience"))})
