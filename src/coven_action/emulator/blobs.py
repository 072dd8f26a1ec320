"""Where artifacts are downloaded: addresses that are good for a minute and carry their own right to be read.

As at GitHub this is another host than the API, and a request that brings a token of the API is refused there: whoever
follows the redirection with the token has given it to somebody else.
https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-requests-to-azure-storage
"""

import secrets
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coven_action.emulator.state import Artifact
from coven_action.emulator.world import World

LIFETIME: Final = timedelta(minutes=1)
"""https://docs.github.com/en/rest/actions/artifacts#download-an-artifact"""


def sign_download(world: World, artifact: Artifact) -> str:
    """Return the address under which an artifact can be had for a minute."""
    signature = secrets.token_urlsafe(24)
    world.downloads[signature] = (artifact, world.clock() + LIFETIME)
    # Another name of this machine: for a client that compares hosts it is another host.
    return f"{world.html_url.replace('127.0.0.1', 'localhost')}/_blobs/{signature}"


def build_blob_routes(world: World) -> list[Route]:
    """Return the routes under `/_blobs`."""

    async def download(request: Request) -> Response:
        with world.lock:
            artifact, until = world.downloads.get(request.path_params["signature"], (None, world.clock()))
            if artifact is None or until < world.clock() or "authorization" in request.headers:
                return Response("AuthenticationFailed", 403)
            return Response(artifact.content, media_type="application/zip")

    return [Route("/_blobs/{signature}", download, methods=["GET"])]
