"""Git over smart HTTP: `git http-backend` as a CGI program, streamed both ways, in a clean environment.

Protocol: https://git-scm.com/docs/git-http-backend. The path handed to the program is built from the repository we
know and one of three service names, never from the request's own path.
"""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from coven_action.emulator.answers import ApiError
from coven_action.emulator.auth import can_see, can_use_git, find_token, has_permission
from coven_action.emulator.exchanges import RequestTooLargeError
from coven_action.emulator.git_store import WORKFLOWS_VARIABLE, build_git_environment
from coven_action.emulator.state import Repository, Token
from coven_action.emulator.world import World

_SERVICES: Final = {"info/refs": "GET", "git-upload-pack": "POST", "git-receive-pack": "POST"}
_CHUNK: Final = 64 * 1024
_MAX_HEADER: Final = 16 * 1024
_PASSED: Final = {
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    "content-encoding": "HTTP_CONTENT_ENCODING",
    "git-protocol": "GIT_PROTOCOL",
}


def _refuse(status: int, message: str) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else {}  # noqa: PLR2004 - HTTP's number
    return PlainTextResponse(message, status, headers)


def build_git_endpoint(world: World) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for `/{owner}/{repo}.git/{service}`."""

    async def endpoint(request: Request) -> Response:
        service = request.path_params["service"]
        if _SERVICES.get(service) != request.method:
            return _refuse(404, "Not Found")
        write = "git-receive-pack" in {service, request.query_params.get("service")}
        found = _authorize(world, request, write=write)
        return found if isinstance(found, Response) else await _serve(*found, service, request)

    return endpoint


def _authorize(world: World, request: Request, *, write: bool) -> tuple[Repository, Token | None] | Response:
    with world.lock:
        try:
            token = find_token(world, request.headers.get("authorization"))
        except ApiError:
            return _refuse(401, "Bad credentials")
        repository = world.find_repository(request.path_params["owner"], request.path_params["repo"])
        if repository is None or not can_see(repository, token):
            return _refuse(401, "Requires authentication") if token is None else _refuse(404, "Repository not found.")
        if can_use_git(repository, token, write=write):
            return repository, token
    if token is None:
        return _refuse(401, "Requires authentication")
    return _refuse(403, "Write access to repository not granted." if write else "Access to repository not granted.")


async def _serve(repository: Repository, token: Token | None, service: str, request: Request) -> Response:
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_build_environment(repository, token, service, request),
        limit=_MAX_HEADER,
    )
    feeder = asyncio.create_task(_feed(process, request))
    try:
        status, headers = await _read_head(process)
    except (ValueError, asyncio.IncompleteReadError):
        await _end(process, feeder)
        return _refuse(500, "git http-backend gave no answer")
    return _ProgramResponse(process, feeder, status, headers)


def _build_environment(repository: Repository, token: Token | None, service: str, request: Request) -> dict[str, str]:
    passed = {_PASSED[name]: value for name, value in request.headers.items() if name in _PASSED}
    user = {} if token is None else {"REMOTE_USER": token.user.login}
    if token is not None and (not token.installation or has_permission(token, "workflows", "write")):
        user[WORKFLOWS_VARIABLE] = "1"
    return build_git_environment() | passed | user | {
        "GIT_PROJECT_ROOT": str(repository.path),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{service}",
        "QUERY_STRING": request.scope["query_string"].decode("latin-1"),
        "REQUEST_METHOD": request.method,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }  # fmt: skip


async def _feed(process: Process, request: Request) -> None:
    """Write the request's body to the program; one that grows too large ends the program."""
    if process.stdin is None:
        return
    try:
        async for chunk in request.stream():
            process.stdin.write(chunk)
            await process.stdin.drain()
    except (RequestTooLargeError, ClientDisconnect):
        process.kill()
    except (BrokenPipeError, ConnectionResetError):
        return  # the program has read what it wanted; its answer says the rest
    finally:
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.close()


async def _read_head(process: Process) -> tuple[int, dict[str, str]]:
    """Read the CGI header: lines up to an empty one; `Status` is taken out."""
    if process.stdout is None:
        raise ValueError("no output")
    head = (await process.stdout.readuntil(b"\r\n\r\n")).decode("latin-1")
    pairs = [line.partition(": ") for line in head.split("\r\n") if line]
    headers = {name: value for name, _, value in pairs}
    return int(headers.pop("Status", "200").split(" ")[0]), headers


class _ProgramResponse(Response):
    """The program's output as it comes.

    Starlette's own streaming response listens for the client's disconnect on the channel from which `_feed` still reads
    the request's body, and would swallow parts of it.
    """

    def __init__(self, process: Process, feeder: "asyncio.Task[None]", status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, headers)
        del self.headers["content-length"]
        self.process = process
        self.feeder = feeder

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while self.process.stdout is not None and (chunk := await self.process.stdout.read(_CHUNK)):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            await _end(self.process, self.feeder)


async def _end(process: Process, feeder: "asyncio.Task[None]") -> None:
    feeder.cancel()
    with suppress(asyncio.CancelledError):
        await feeder
    # `Process.kill` would first poll the program and so reap it behind the back of asyncio, which then complains.
    if process.stdout is None or not process.stdout.at_eof():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.wait()
