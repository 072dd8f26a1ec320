"""Our end of the gateway: start its process, give it the key, hear what it says, and make sure that it ends.

The key goes through a pipe. It is in no argument, no environment variable and no file, and the process that gets it is
ended with this context, however the context ends; should we be killed, the pipe closes and it ends by itself.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError

from coven_action.core.gateway.order import GatewayOrder
from coven_action.core.gateway.report import GatewayReport
from coven_action.errors import RuntimeFault

PROGRAM: Final = "coven_action.adapters.gateway.program"
MAX_LINE: Final = 1024 * 1024
START_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0
STEPS: Final = frozenset({"waiting", "ready", "fault"})
PASSED_ON: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that the process is given, where they are set: which authorities the runner trusts."""


class Gateway:
    """One gateway, for one run. A context: it serves from the beginning to the end of it.

    Args:
        order: How it works.
        key: The model's key. It is not kept.
        environment: The job's variables, of which it is given `PASSED_ON`.
        on_event: Told of each event of the process, see `program`, in a thread of its own. What it raises is raised where
            the context ends, and it is told nothing more.
    """

    def __init__(
        self,
        order: GatewayOrder,
        key: str,
        *,
        environment: Mapping[str, str],
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.order = order
        self.ended_because: str | None = None
        self._line: bytes | None = json.dumps({"key": key, "order": order.model_dump(mode="json")}).encode() + b"\n"
        self._environment = {name: environment[name] for name in PASSED_ON if name in environment}
        self._on_event = on_event
        self._steps: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._report: GatewayReport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._listener = threading.Thread(target=self._listen, name="gateway", daemon=True)

    @property
    def socket(self) -> Path:
        """The path of the socket."""
        return Path(self.order.socket)

    @property
    def pid(self) -> int:
        """The number of the process.

        Raises:
            RuntimeError: It was not started.
        """
        if self._process is None:
            raise RuntimeError("The gateway was not started.")
        return self._process.pid

    def __enter__(self) -> Self:
        """Start the process.

        Raises:
            RuntimeFault: `gateway-not-started`.
        """
        line, self._line = self._line, None
        if line is None:
            raise RuntimeError("A gateway is started once.")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what Python writes there may hold anything; events say what happened
                env=self._environment,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise RuntimeFault(
                "gateway-not-started", f"The gateway's process could not be started: {error}."
            ) from error
        self._listener.start()
        try:
            self._order(line)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        if self._failure is not None:
            raise self._failure

    def report(self) -> GatewayReport:
        """End the process, if it has not ended, and return its account.

        Raises:
            RuntimeFault: `gateway-lost`: it ended without one, so nobody knows what was spent.
        """
        self._end()
        if self._report is None:
            raise RuntimeFault("gateway-lost", "The model gateway ended without a report.")
        return self._report

    def _order(self, line: bytes) -> None:
        """Give it the order and the key, once its memory and its pipes are closed to others, and wait until it serves."""
        self._expect("waiting")
        # A process that is gone cannot be told; that it is gone shows in what it says.
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._stdin, line) :]
        self._expect("ready")

    def _expect(self, step: str) -> None:
        try:
            event = self._steps.get(timeout=START_SECONDS)
        except queue.Empty:
            event = {"what": f"it was not {step} within {START_SECONDS:g} seconds"}
        if event.get("event") != step:
            what = event.get("what", "it ended at once")
            raise RuntimeFault("gateway-not-started", f"The model gateway did not start: {what}.")

    @property
    def _stdin(self) -> int:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("The gateway was not started.")
        return self._process.stdin.fileno()

    def _end(self) -> None:
        """Close its stdin, wait for its report, and kill it where it does not end. A second call changes nothing."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        process.stdout.close()

    def _listen(self) -> None:
        """Take what it says to the end of its stdout; how its start goes is passed on to whoever starts it."""
        process = self._process
        if process is None or process.stdout is None:
            return
        with os.fdopen(os.dup(process.stdout.fileno()), "rb") as lines:
            while line := lines.readline(MAX_LINE):
                event = _parse(line)
                self._take(event)
                if event.get("event") in STEPS:
                    self._steps.put(event)
        self._steps.put({})

    def _take(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "ended":
            self.ended_because = str(event.get("because"))
        if event.get("event") == "report":
            with contextlib.suppress(ValidationError):  # none that can be read is none, and `report` says so
                self._report = GatewayReport.model_validate_json(json.dumps(event.get("report")))
        if self._on_event is not None and self._failure is None:
            try:
                self._on_event(event)
            except BaseException as error:  # noqa: BLE001 - raised by `__exit__`; whoever stops listening blocks the other side
                self._failure = error


def _parse(line: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
