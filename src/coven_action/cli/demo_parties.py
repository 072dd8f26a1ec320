"""Who takes part in the demo besides ourselves: a local GitHub, and an endpoint in a process of its own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coven_action.client import Client
from coven_action.errors import EnvironmentFault, Error

if TYPE_CHECKING:
    from coven_action.emulator.server import LocalGitHub
    from coven_action.emulator.state import Repository

STOP_SECONDS: Final = 15
_TOKEN: Final = re.compile(r"cva_[A-Za-z0-9_-]{43}")


def start_github(folder: Path, port: int) -> "LocalGitHub":
    """Start the local GitHub, on another port where this one is taken."""
    from coven_action.emulator.server import LocalGitHub  # noqa: PLC0415 - only the demo pays for it

    try:
        return LocalGitHub(folder, port).start()
    except Error:
        if port == 0:
            raise
        click.echo(f"Port {port} is taken; another one is used.", err=True)
        return LocalGitHub(folder, 0).start()


class DemoEndpoint:
    """An endpoint on a database of its own, started as anybody would start it.

    Args:
        folder: Where its database lies.
        issuer: Whose ID tokens it accepts.
        port: Where it listens; another one where this one is taken, any where it is 0.
    """

    def __init__(self, folder: Path, issuer: str, port: int) -> None:
        self._data = folder / "coven.db"
        self._issuer = issuer
        self._port = _find_port(port)
        self._process: subprocess.Popen[str] | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        self.token = ""

    def enrol(self, repository: "Repository") -> None:
        """Enrol a repository and its account, with memory on."""
        self._run(
            "enrol", "--data", str(self._data), "--issuer", self._issuer, "--account", repository.owner.login,
            "--account-id", str(repository.owner.id), "--repository", repository.full_name,
            "--repository-id", str(repository.id), "--memory",
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and take the administrator's token that it prints once.

        Raises:
            EnvironmentFault: `endpoint-unreachable`: it ended instead.
        """
        command = ("serve", "--data", str(self._data), "--port", str(self._port), "--issuer", self._issuer)
        argv = (sys.executable, "-I", "-m", "coven_action", *command, "--public-url", self.url)
        self._process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environment()
        )
        for line in self._process.stdout or ():
            found = _TOKEN.search(line)
            if found is not None:
                self.token = found[0]
                return
        raise EnvironmentFault("endpoint-unreachable", "The endpoint ended before it served anybody.")

    def connect(self) -> Client:
        """Return a client for the local administrator."""
        return Client(self.url, token=self.token)

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    @staticmethod
    def _run(*arguments: str) -> None:
        argv = (sys.executable, "-I", "-m", "coven_action", *arguments)
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=_environment())


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}


def _find_port(wanted: int) -> int:
    """Return a port that is free: the wanted one if it is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EnvironmentFault("address-in-use", "No port of this machine is free.")
