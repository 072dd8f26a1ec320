"""Git, as the program, through one function. No rules here.

Every call gets a configuration of ours: system and user configuration off, hooks, file system monitor, external filters
and credential helpers off, no prompt, no protocol but the ones needed. It is handed over in the environment, where it
outranks the configuration of any repository, that of a submodule included: nothing a repository brings is executed.
https://git-scm.com/docs/git#_security and https://git-scm.com/docs/git-config#ENVIRONMENT
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from coven_action.core.contract.process_output import MIB
from coven_action.core.publication.targets import BOT_EMAIL
from coven_action.errors import GitError

LOCAL_TIMEOUT: Final = 300.0
NETWORK_TIMEOUT: Final = 600.0
MAXIMUM_ERROR_LENGTH: Final = 2000
LARGE_FILE: Final = 16 * MIB
"""Bytes of a file that no change may have before or after it: to compare one, git takes up to 43 times its size."""
RESULT_REF: Final = "refs/coven/result"
BASE_REF: Final = "refs/coven/base"
BOT_NAME: Final = "github-actions[bot]"

Settings = tuple[tuple[str, str], ...]
_SETTINGS: Final[Settings] = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.autocrlf", "false"),
    ("core.symlinks", "true"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("core.alternateRefsCommand", ""),
    ("diff.ignoreSubmodules", "dirty"),
    # What is larger is read piece by piece, wherever git can: a file costs no memory for being large.
    ("core.bigFileThreshold", str(LARGE_FILE)),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "main"),
    ("commit.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("advice.detachedHead", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.file.allow", "always"),
    ("http.followRedirects", "initial"),
    ("transfer.fsckObjects", "true"),
    # Real histories hold harmless oddities that are older than these checks; what reaches a checkout stays refused.
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
    ("fetch.fsck.badTimezone", "ignore"),
    ("safe.directory", "*"),
)


class Git:
    """The git program with a configuration of ours.

    Args:
        folder: Git's home: empty, and nothing an agent can write to.
        search_path: `PATH`, to find git and the helpers it starts.
    """

    def __init__(self, folder: Path, search_path: str) -> None:
        self._home = folder
        self._search_path = search_path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GitError("io-failed", f"The folder {folder} cannot be made: {error.strerror}.") from error

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Settings = (),
        timeout: float = LOCAL_TIMEOUT,
    ) -> bytes:
        """Run one git command and return its standard output. `settings` are added to ours for this one command.

        Raises:
            GitError: It failed, took too long, or git is not installed. The message holds command and error output.
        """
        return self._finish(
            arguments, cwd=cwd, stdin=stdin, environment=environment, settings=settings, timeout=timeout
        ).stdout

    def ask(self, *arguments: str, cwd: Path) -> tuple[bool, bytes]:
        """Run one git command that answers no with exit code 1, and return its answer and its standard output.

        Raises:
            GitError: As for `run`; any other exit code is a failure.
        """
        done = self._finish(arguments, cwd=cwd, answers=frozenset({0, 1}))
        return done.returncode == 0, done.stdout

    def find_version(self) -> tuple[int, ...]:
        """Return git's version, as far as it is numbers: (2, 39, 5)."""
        said = re.match(rb"git version ([0-9]+(?:\.[0-9]+)*)", self.run("version"))
        return tuple(int(number) for number in said[1].split(b".")) if said else ()

    def _finish(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Settings = (),
        timeout: float = LOCAL_TIMEOUT,
        answers: frozenset[int] = frozenset({0}),
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run one git command to its end; an exit code that is none of its answers is a failure."""
        try:
            done = subprocess.run(
                ("git", *arguments),
                cwd=cwd,
                env={**self._environment(settings), **(environment or {})},
                input=stdin if stdin is not None else b"",
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise GitError("git-failed", f"git could not be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise GitError("git-failed", f"git {arguments[0]} took longer than {timeout:.0f} s") from error
        if done.returncode not in answers:
            raise GitError("git-failed", _describe_failure(arguments, done.returncode, done.stderr))
        return done

    def read(self, *arguments: str, cwd: Path, limit: int) -> bytes:
        """Run one git command and return at most `limit` + 1 bytes of its output; the command is ended when there is more."""
        with self._open(arguments, cwd) as process:
            # Popen with PIPE always has the stream; the check is for the type checker.
            output = process.stdout.read(limit + 1) if process.stdout is not None else b""
            cut = len(output) > limit
            if cut:
                process.kill()
        if process.returncode and not cut:
            raise GitError("git-failed", _describe_failure(arguments, process.returncode, b""))
        return output

    def _open(self, arguments: Sequence[str], cwd: Path) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                ("git", *arguments),
                cwd=cwd,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise GitError("git-failed", f"git could not be started: {error.strerror}") from error

    def _environment(self, additions: Settings = ()) -> dict[str, str]:
        """Return the whole environment: nothing is inherited, least of all GIT_* variables."""
        settings = (*_SETTINGS, *additions)
        numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings):
            numbered |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return {
            "PATH": self._search_path,
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            **numbered,
        }


def _describe_failure(arguments: Sequence[str], code: int, errors: bytes) -> str:
    said = errors.decode("utf-8", "replace").strip()[-MAXIMUM_ERROR_LENGTH:]
    return f"git {arguments[0]} ended with {code}: {said}"


def build_identity(name: str, email: str, date: str) -> dict[str, str]:
    """Return the variables that give a commit its author; the committer is always the bot."""
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": BOT_NAME,
        "GIT_COMMITTER_EMAIL": BOT_EMAIL,
        "GIT_COMMITTER_DATE": date,
    }
