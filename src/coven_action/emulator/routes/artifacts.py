"""Routes about artifacts: their list, and the redirection to where one is downloaded."""

from hashlib import sha256
from typing import Any, Final

from coven_action.emulator.answers import Answer, ApiError, build_not_found
from coven_action.emulator.blobs import sign_download
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.people import format_time
from coven_action.emulator.documents.repository import get_api_url
from coven_action.emulator.state import Artifact, Repository
from coven_action.emulator.world import World


def list_artifacts(call: Call) -> Answer:
    """Answer a page of the repository's artifacts, newest first; `name` asks for those of exactly this name."""
    name = call.query.get("name")
    found = [each for each in reversed(call.repository.artifacts.values()) if name in {None, each.name}]
    page, headers = call.paginate(found)
    documents = [build_artifact(call.world, call.repository, each) for each in page]
    return Answer({"total_count": len(found), "artifacts": documents}, headers=headers)


def download_artifact(call: Call) -> Answer:
    """Redirect to the zip file; nobody has it without a token, even on a public repository."""
    artifact = call.repository.artifacts.get(int(call.path["artifact_id"]))
    if artifact is None or call.path["archive_format"] != "zip":
        raise build_not_found()
    if artifact.expires_at <= call.world.clock():
        raise ApiError(410, "Artifact has expired")
    return Answer(status=302, content=b"", headers={"Location": sign_download(call.world, artifact)})


def build_artifact(world: World, repository: Repository, artifact: Artifact) -> dict[str, Any]:
    """Build the document of an artifact."""
    url = f"{get_api_url(world, repository)}/actions/artifacts/{artifact.id}"
    run = artifact.run
    return {
        "id": artifact.id,
        "node_id": f"A_{artifact.id}",
        "name": artifact.name,
        "size_in_bytes": len(artifact.content),
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": artifact.expires_at <= world.clock(),
        "created_at": format_time(artifact.created_at),
        "updated_at": format_time(artifact.created_at),
        "expires_at": format_time(artifact.expires_at),
        "digest": f"sha256:{sha256(artifact.content).hexdigest()}",
        "workflow_run": {
            "id": run.id,
            "repository_id": repository.id,
            "head_repository_id": artifact.head_repository_id,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
        },
    }


_ARTIFACTS: Final = "/repos/{owner}/{repo}/actions/artifacts"
_NEEDS: Final = ("actions=read",)
OPERATIONS: Final = (
    Operation("GET", _ARTIFACTS, list_artifacts, needs=_NEEDS, anonymous=True),
    Operation("GET", f"{_ARTIFACTS}/{{artifact_id:int}}/{{archive_format}}", download_artifact, needs=_NEEDS),
)
