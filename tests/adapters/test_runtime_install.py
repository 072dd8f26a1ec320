"""Installing the runtime from a local HTTP server that is sometimes honest."""

import dataclasses
import gzip
import hashlib
import io
import os
import socket
import stat
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from coven_action.adapters import runtime_install
from coven_action.adapters.runtime_install import InstallLimits, install_runtime
from coven_action.core.contract.releases import ReleaseArchive
from coven_action.errors import RuntimeFault

PROGRAM = b"#!/bin/sh\necho coven-code 0.6.1\n" + b"# padding\n" * 5000
LIMITS = InstallLimits(
    connect_seconds=10, stall_seconds=10, total_seconds=20, archive_bytes=1_000_000, unpacked_bytes=4_000_000
)


def build_tar(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data, fields in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            for field, value in fields.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


GOOD = build_tar(("coven-code", PROGRAM, {}))


def pin(data, kind="tar.gz", binary="coven-code"):
    digest = hashlib.sha256(data).hexdigest()
    return ReleaseArchive("0.6.1", "linux-x86_64", f"coven-code-linux-x86_64.{kind}", kind, binary, digest)


class Mirror:
    """A server that answers every request with one behaviour, a function of the handler."""

    def __init__(self):
        self.answer = None
        self.requests = []
        self.ended = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mirror.requests.append((self.path, dict(self.headers)))
                self.close_connection = True
                mirror.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Mirror()
    yield made
    made.close()


def send(handler, data, *, status=200, length=None, **headers):
    handler.send_response(status)
    handler.send_header("Connection", "close")
    handler.send_header("Content-Length", str(len(data) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def serve(data, **options):
    return lambda handler: send(handler, data, **options)


def install(mirror, cache, archive=None, **changes):
    limits = dataclasses.replace(LIMITS, **changes)
    return install_runtime(archive or pin(GOOD), cache=cache, base_url=mirror.url, limits=limits)


def test_the_pinned_program_lies_in_the_cache_afterwards(mirror, tmp_path):
    mirror.answer = serve(GOOD)
    program = install(mirror, tmp_path)

    assert program == tmp_path / "coven-code" / "0.6.1" / "linux-x86_64" / "coven-code"
    assert program.read_bytes() == PROGRAM
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert [path for path, _ in mirror.requests] == ["/v0.6.1/coven-code-linux-x86_64.tar.gz"]
    assert sorted(path.name for path in program.parent.parent.iterdir()) == ["linux-x86_64"]


def test_a_filled_cache_needs_no_network(mirror, tmp_path):
    mirror.answer = serve(GOOD)
    first = install(mirror, tmp_path)
    again = install_runtime(pin(GOOD), cache=tmp_path, base_url="http://127.0.0.1:1", limits=LIMITS)

    assert first == again
    assert len(mirror.requests) == 1


def test_a_zip_is_unpacked_as_well(mirror, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("coven-code.exe", PROGRAM)
    mirror.answer = serve(buffer.getvalue())

    program = install(mirror, tmp_path, pin(buffer.getvalue(), "zip", "coven-code.exe"))

    assert program.read_bytes() == PROGRAM


def test_another_digest_stops_before_anything_is_unpacked(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_install, "read_program", lambda *_, **__: pytest.fail("it was unpacked"))
    mirror.answer = serve(build_tar(("coven-code", b"evil", {})))

    assert fault_of(mirror, tmp_path).code == "runtime-digest-mismatch"


def fault_of(mirror, cache, archive=None, **changes):
    """Return the fault of an installation, and make sure that it left nothing behind."""
    with pytest.raises(RuntimeFault) as caught:
        install(mirror, cache, archive, **changes)
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    return caught.value


ARCHIVES = {
    "truncated": GOOD[:-20],
    "traversal": build_tar(("coven-code", PROGRAM, {}), ("../../../evil", b"x", {})),
    "link": build_tar(("coven-code", b"", {"type": tarfile.SYMTYPE, "linkname": "/bin/sh"})),
    "hard link": build_tar(
        ("coven-code", PROGRAM, {}), ("x", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})
    ),
    "device": build_tar(("coven-code", PROGRAM, {}), ("x", b"", {"type": tarfile.BLKTYPE})),
    "set-user-id": build_tar(("coven-code", PROGRAM, {"mode": 0o4755})),
    "bomb": build_tar(("coven-code", bytes(8_000_000), {})),
    "other file": build_tar(("other", PROGRAM, {})),
    "no archive": b"hello",
    "gzip of nothing": gzip.compress(b""),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_odd_archive_is_refused_even_with_the_right_digest(mirror, tmp_path, name):
    mirror.answer = serve(ARCHIVES[name])

    assert fault_of(mirror, tmp_path, pin(ARCHIVES[name])).code == "runtime-archive-refused"


def redirect_for_ever(handler):
    send(handler, b"", status=302, Location=handler.path + "x")


def redirect_to(location):
    return lambda handler: send(handler, b"", status=302, Location=location)


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def promise_more(handler):
    send(handler, GOOD, length=len(GOOD) + 100)


def answer_nonsense(handler):
    handler.wfile.write(b"HTTP/1.1 banana\r\n\r\n")


FAILED_DOWNLOADS = {
    "not found": (serve(b"", status=404), "404"),
    "server error": (serve(b"", status=500), "500"),
    "no content": (serve(b"", status=204), "204"),
    "partial content": (serve(b"", status=206), "206"),
    "redirect loop": (redirect_for_ever, "redirects"),
    "redirect to ftp": (redirect_to("ftp://127.0.0.1/x"), "connection failed"),
    "redirect to a file": (redirect_to("file:///etc/passwd"), "connection failed"),
    "redirect to itself": (redirect_to(""), "redirects"),
    "redirect to no host": (redirect_to("http://"), "redirects"),
    "hang-up": (hang_up, "connection failed"),
    "more promised than sent": (promise_more, "connection failed"),
    "no HTTP": (answer_nonsense, "connection failed"),
    "oversized": (serve(bytes(1_000_001)), "larger"),
}


@pytest.mark.parametrize("name", FAILED_DOWNLOADS)
def test_a_download_that_fails_is_a_fault_with_its_reason(mirror, tmp_path, name):
    mirror.answer, reason = FAILED_DOWNLOADS[name]
    fault = fault_of(mirror, tmp_path)

    assert fault.code == "runtime-download-failed"
    assert reason in fault.message


def test_fewer_bytes_promised_than_sent_is_another_digest(mirror, tmp_path):
    mirror.answer = serve(GOOD, length=len(GOOD) - 10)

    assert fault_of(mirror, tmp_path).code == "runtime-digest-mismatch"


def test_a_few_redirects_are_followed_and_their_signature_is_not_shown(mirror, tmp_path):
    def answer(handler):
        if handler.path.startswith("/v0.6.1/"):
            send(handler, b"", status=302, Location="/elsewhere?signature=canary")
        elif "second" in handler.path:
            send(handler, b"", status=404)
        else:
            send(handler, b"", status=307, Location=f"{mirror.url}/second?signature=canary")

    mirror.answer = answer
    fault = fault_of(mirror, tmp_path)

    assert len(mirror.requests) == 3
    assert "canary" not in fault.diagnostics()


def test_a_server_that_falls_silent_is_given_up(mirror, tmp_path):
    def answer(handler):
        send(handler, GOOD[:100], length=len(GOOD))
        mirror.ended.wait(30)

    mirror.answer = answer

    assert "connection failed" in fault_of(mirror, tmp_path, stall_seconds=0.2).message


def test_a_server_that_trickles_does_not_outlast_the_deadline(mirror, tmp_path):
    def answer(handler):
        send(handler, b"", length=len(GOOD))
        while not mirror.ended.wait(0.01):
            handler.wfile.write(b"x")

    mirror.answer = answer
    started = time.monotonic()

    assert "too long" in fault_of(mirror, tmp_path, total_seconds=0.3, stall_seconds=30).message
    assert time.monotonic() - started < 20


def test_no_redirect_leads_from_https_to_http():
    class Session:
        def get(self, _url, **_options):
            return Answer()

    class Answer:
        status_code = 302
        headers = {"Location": "http://github.test/x"}  # noqa: RUF012 - a fake

        def close(self):
            pass

    with pytest.raises(RuntimeFault, match="leaves https"):
        runtime_install._follow(Session(), "https://github.test/x", time.monotonic() + 10, LIMITS)


def test_no_server_is_a_fault(tmp_path, mirror):
    mirror.url = "http://127.0.0.1:1"

    assert fault_of(mirror, tmp_path).code == "runtime-download-failed"


def test_no_credential_of_a_netrc_file_is_sent(mirror, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    mirror.answer = serve(GOOD)
    install(mirror, tmp_path / "cache")

    assert not any("Authorization" in headers for _, headers in mirror.requests)


def change_program(folder):
    (folder / "coven-code").write_bytes(b"evil")
    (folder / "coven-code").chmod(0o755)


def change_both(folder):
    change_program(folder)
    (folder / "coven-code-linux-x86_64.tar.gz").write_bytes(build_tar(("coven-code", b"evil", {})))


def link_program(folder):
    (folder / "coven-code").unlink()
    (folder / "coven-code").symlink_to("/bin/sh")


TAMPERINGS = {
    "program changed": change_program,
    "program and archive changed": change_both,
    "program is a link": link_program,
    "program missing": lambda folder: (folder / "coven-code").unlink(),
    "archive missing": lambda folder: (folder / "coven-code-linux-x86_64.tar.gz").unlink(),
    "archive emptied": lambda folder: (folder / "coven-code-linux-x86_64.tar.gz").write_bytes(b""),
    "set-user-id": lambda folder: (folder / "coven-code").chmod(0o4755),
    "writable by all": lambda folder: (folder / "coven-code").chmod(0o777),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_cache_that_was_changed_stops_the_run(mirror, tmp_path, name):
    mirror.answer = serve(GOOD)
    TAMPERINGS[name](install(mirror, tmp_path).parent)

    with pytest.raises(RuntimeFault) as caught:
        install(mirror, tmp_path)

    assert caught.value.code == "runtime-digest-mismatch"
    assert len(mirror.requests) == 1


def test_a_cache_that_cannot_be_written_is_a_fault(mirror, tmp_path):
    (tmp_path / "coven-code").write_bytes(b"a file where a folder belongs")
    mirror.answer = serve(GOOD)

    with pytest.raises(RuntimeFault) as caught:
        install(mirror, tmp_path)

    assert caught.value.code == "runtime-cache-unusable"


def test_of_two_jobs_that_install_at_once_both_get_the_program(mirror, tmp_path, monkeypatch):
    mirror.answer = serve(GOOD)
    unpack = runtime_install._unpack

    def be_overtaken(*arguments):
        monkeypatch.setattr(runtime_install, "_unpack", unpack)
        install(mirror, tmp_path)
        unpack(*arguments)

    monkeypatch.setattr(runtime_install, "_unpack", be_overtaken)

    assert install(mirror, tmp_path).read_bytes() == PROGRAM
    assert len(mirror.requests) == 2


def test_a_move_that_fails_leaves_nothing(mirror, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.rename", fail)
    mirror.answer = serve(GOOD)

    assert fault_of(mirror, tmp_path).code == "runtime-cache-unusable"
