"""The way out of a sandbox: connections to a port on loopback are carried to the one socket that was bound into it.

A program of its own, started by `entry.py` as `python -I -S relay.py LISTENER GATEWAY PID`, of which the first two are open
descriptors: it holds the gateway's socket without a way to its folder. It imports the standard library
only and is imported by nobody. It knows no secret and looks at nothing that it carries: what is on the other side of
the socket decides what may pass. It ends with the process PID.
"""

import contextlib
import os
import select
import socket
import sys
import threading

PIECE = 64 * 1024
BACKLOG_PAUSE_SECONDS = 0.05


def serve(listener: socket.socket, gateway: int, served: int) -> None:
    """Carry connections until the process `served` ends."""
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(served)
        own = listener.fileno()
        while True:
            ready, _, _ = select.select([own, watched], [], [])
            if watched in ready:
                return
            accept(listener, gateway)


def accept(listener: socket.socket, gateway: int) -> None:
    """Take one connection; where descriptors or threads run out the next one is taken later."""
    try:
        inner, _ = listener.accept()
    except OSError:
        threading.Event().wait(BACKLOG_PAUSE_SECONDS)
        return
    try:
        threading.Thread(target=carry, args=(inner, gateway), daemon=True).start()
    except RuntimeError:
        inner.close()


def carry(inner: socket.socket, gateway: int) -> None:
    """Carry one connection in both directions until both have ended; a gateway that is gone closes it at once."""
    outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with inner, outer:
        try:
            outer.connect(f"/proc/self/fd/{gateway}")
            # Small pieces are answers of a model as they are written: none waits for the next.
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=pump, args=(outer, inner), daemon=True)
            back.start()
        except (OSError, RuntimeError):
            return
        pump(inner, outer)
        back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry one direction to its end, and hand the end on."""
    try:
        while piece := source.recv(PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: nothing more can be carried either way.
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve."""
    _, listener, gateway, served = sys.argv
    serve(socket.socket(fileno=int(listener)), int(gateway), int(served))


if __name__ == "__main__":
    main()
