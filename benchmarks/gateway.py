"""Measures what the model gateway adds to a request, against the same request sent straight to the same TLS host.

Usage: make bench NAME=gateway [ARGS=REQUESTS]
Medians of REQUESTS (default 400) pairs, taken alternately, on connections that are kept on every side; a small body, one of
256 KiB, and a streamed answer (until its first event). Bar: 2 ms for the small body. The host runs in a process of its own.
CPU is that of the gateway's process for one request, which a busy machine changes less than the wall time.
No figure is printed when an answer is not the host's, or when the gateway's account does not count every request.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from coven_action.core.gateway.order import Budget
from tests.adapters.gateway.parties import (
    HOST,
    KEY,
    MODEL,
    Authority,
    ModelHost,
    build_event,
    build_message,
    build_order,
    start_gateway,
)

BAR_MS = 2.0
EVENT = build_event({"type": "message_start", "message": {"model": MODEL, "usage": {"input_tokens": 1}}})
END = build_event({"type": "message_delta", "usage": {"output_tokens": 1}}) + build_event({"type": "message_stop"})
BODIES = {
    "small body": {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "256 KiB body": {"max_tokens": 9, "messages": [{"role": "user", "content": "word, " * 1024} for _ in range(43)]},
    "first event of a stream": {"max_tokens": 9, "stream": True, "messages": []},
}


def answer(handler) -> None:  # noqa: ANN001 - the handler of the tests' host
    """Answer as a model's host does, at once."""
    if b'"stream": true' not in handler.server.owner.asked[-1].body:
        handler.reply(200, build_message())
        return
    handler.begin_events()
    handler.send_chunk(EVENT)
    handler.send_chunk(END)
    handler.send_chunk(b"")


def serve(certificate: str) -> None:
    """Be the host, until stdin ends."""
    with ModelHost(Path(certificate), answer) as host:
        print(host.port, flush=True)
        sys.stdin.read()


class Straight(http.client.HTTPConnection):
    """A connection to the host itself, verified as the gateway's is."""

    def __init__(self, port: int, authority: Authority) -> None:
        super().__init__(HOST, port)
        self._context = ssl.create_default_context(cadata=authority.pem)

    def connect(self) -> None:
        """Connect to this machine in the host's name."""
        plain = socket.create_connection(("127.0.0.1", self.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=HOST)


class Through(http.client.HTTPConnection):
    """A connection to the gateway's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("127.0.0.1")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def time_request(connection: http.client.HTTPConnection, body: bytes, *, streamed: bool) -> float:
    """Return the seconds until the answer, or its first event, is there."""
    started = time.perf_counter()
    connection.request("POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": KEY})
    reply = connection.getresponse()
    data = reply.read(len(EVENT)) if streamed else reply.read()
    seconds = time.perf_counter() - started
    if reply.status != http.HTTPStatus.OK or data != (EVENT if streamed else build_message()):
        sys.exit(f"the answer is not the host's: {reply.status} {data[:200]!r}; no figures")
    if streamed and reply.read() != END:
        sys.exit("the stream is not the host's; no figures")
    return seconds


@contextlib.contextmanager
def start_host(certificate: Path) -> Iterator[int]:
    """Run the host in a process of its own; give its port."""
    argv = [sys.executable, "-P", __file__, "serve", str(certificate)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin and process.stdout  # noqa: PT018 - for the type checker
        yield int(process.stdout.readline())
        process.stdin.close()


def read_cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(straight: Callable[[], float], through: Callable[[], float], pairs: int) -> tuple[float, float, float]:
    """Return the medians of both, and of the difference of each pair, in milliseconds."""
    samples = [(straight(), through()) for _ in range(pairs + 20)][20:]
    medians = (statistics.median(values) for values in zip(*samples, strict=True))
    return (*(1000 * value for value in medians), 1000 * statistics.median(b - a for a, b in samples))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "requests", type=int, nargs="?", default=400, help="pairs of requests of each kind (%(default)s)"
    )
    pairs = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        with start_host(authority.issue(HOST)) as port:
            order = build_order(folder, authority, {HOST: port}, budget=Budget(requests=10**6))
            started = time.perf_counter()
            with start_gateway(order) as gateway:
                ready = time.perf_counter() - started
                rows = {}
                for label, fields in BODIES.items():
                    body = json.dumps({"model": MODEL, **fields}).encode()
                    one, two = Straight(port, authority), Through(gateway.socket)
                    used = read_cpu(gateway.pid)
                    figures = compare(
                        lambda one=one, body=body: time_request(one, body, streamed=b'"stream"' in body),
                        lambda two=two, body=body: time_request(two, body, streamed=b'"stream"' in body),
                        pairs,
                    )
                    rows[label] = (*figures, 1000 * (read_cpu(gateway.pid) - used) / (pairs + 20))
                    one.close()
                    two.close()
                report = gateway.report()
    if report.requests != len(BODIES) * (pairs + 20) or report.estimated_answers or report.refusals or report.faults:
        sys.exit(f"the account does not count every request: {report}; no figures")
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, medians of {pairs} pairs"
    )
    print(f"{'milliseconds':26}{'straight':>10}{'gateway':>10}{'added':>8}{'CPU':>8}")
    for label, (straight, through, added, cpu) in rows.items():
        print(f"{label:26}{straight:10.2f}{through:10.2f}{added:8.2f}{cpu:8.2f}")
    print(f"gateway ready after {1000 * ready:.0f} ms; load average {os.getloadavg()[0]:.1f}")
    if rows["small body"][2] > BAR_MS:
        sys.exit(f"above the bar of {BAR_MS} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        main()
