"""What is done with a program's output: counted, bounded, and handed on in whole lines. Pure, constant memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LINE_BYTES: Final = 64 * 1024
"""A line longer than this is handed on in pieces."""
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The bounds of one run.

    Attributes:
        seconds: Wall-clock time until the tree is ended.
        kept_bytes: Output that is handed on; what comes after is counted and dropped.
        hard_bytes: Output at which the tree is ended.
        tail_bytes: How much of the end of stdout is kept for the report, whether handed on or not.
        grace_seconds: From the request to end (SIGTERM) to the end by force.
        kill_seconds: How long the end by force may take before survivors are reported.
    """

    seconds: float
    kept_bytes: int = 8 * MIB
    hard_bytes: int = 256 * MIB
    tail_bytes: int = MIB // 2
    grace_seconds: float = 5.0
    kill_seconds: float = 10.0


class ProcessOutput:
    """The output of one program: two streams, one place to write them to.

    Args:
        limits: How much is kept.
        write: Called with whole lines of one stream, wherever a line fits `LINE_BYTES`: a redactor behind it never sees
            a line of one stream split by a line of the other.
    """

    def __init__(self, limits: ProcessLimits, write: Callable[[bytes], object]) -> None:
        self.limits = limits
        self.total = 0
        self._write = write
        self._tail = bytearray()
        self._lines = {"stdout": bytearray(), "stderr": bytearray()}

    @property
    def flooded(self) -> bool:
        """Whether the hard limit is passed."""
        return self.total > self.limits.hard_bytes

    @property
    def truncated(self) -> bool:
        """Whether something was dropped."""
        return self.total > self.limits.kept_bytes

    @property
    def stdout_tail(self) -> bytes:
        """The last bytes of stdout."""
        return bytes(self._tail)

    def take(self, stream: str, chunk: bytes) -> None:
        """Take a chunk of `stdout` or `stderr`."""
        if stream == "stdout":
            self._tail += chunk
            del self._tail[: -self.limits.tail_bytes]
        line = self._lines[stream]
        line += chunk[: max(0, self.limits.kept_bytes - self.total)]
        self.total += len(chunk)
        end = len(line) if len(line) > LINE_BYTES else line.rfind(b"\n") + 1
        if end:
            self._write(bytes(line[:end]))
            del line[:end]

    def finish(self) -> None:
        """Hand on the last lines, which had no line break at their end."""
        for line in self._lines.values():
            if line:
                self._write(bytes(line))
                line.clear()
