"""`coven-action doctor --endpoint` against what listens on this machine: an endpoint, something else, and nothing."""

import datetime as dt
import http.server
import ipaddress
import json
import ssl
import threading
from contextlib import contextmanager
from typing import ClassVar

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coven_action import __version__
from coven_action.cli import doctor

TOKEN = "cva_" + "t" * 43
DOCUMENTS = {
    "/healthz": {"status": "alive"},
    "/readyz": {"status": "ready"},
    "/openapi.json": {"info": {"version": __version__}},
    "/v1/audit/head": {"seq": 3, "head": "a" * 64, "signature": "A" * 86 + "==", "key_id": "key"},
}


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers as an endpoint does, and keeps what it was asked."""

    documents = DOCUMENTS
    asked: ClassVar[list] = []

    def do_GET(self):
        self.asked.append((self.path, dict(self.headers)))
        document = self.documents.get(self.path)
        self.send_response(404 if document is None else 200)
        body = json.dumps(document).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        del arguments


@contextmanager
def listening(documents=DOCUMENTS, context=None):
    handler = type("Handler", (Endpoint,), {"documents": documents, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(url, *arguments, **environment):
    sent = {"COVEN_TOKEN": None, "COVEN_TENANT": None, **environment}
    return CliRunner().invoke(doctor.command, ["--json", "--endpoint", url, *arguments], env=sent)


def levels(done):
    return {entry["subject"]: entry["level"] for entry in json.loads(done.output)["report"]}


def test_an_endpoint_that_is_well_is_said_to_be():
    with listening() as (url, asked):
        done = call(url, "--tenant", "acme", COVEN_TOKEN=TOKEN)

    assert done.exit_code == 0, done.output
    assert levels(done) == dict.fromkeys(
        ("endpoint", "certificate", "clock", "readiness", "version", "access", "audit log"), "ok"
    )
    assert TOKEN not in done.output
    assert [(path, headers.get("Authorization")) for path, headers in asked if "Authorization" in headers] == [
        ("/v1/audit/head", f"Bearer {TOKEN}")
    ]
    assert asked[-1][1]["Coven-Tenant"] == "acme"


def test_an_endpoint_whose_proxy_keeps_readiness_inside_is_well():
    with listening({path: said for path, said in DOCUMENTS.items() if path != "/readyz"}) as (url, _):
        done = call(url)

    assert (done.exit_code, levels(done)["readiness"]) == (0, "ok"), done.output


def test_without_a_token_nothing_is_asked_that_needs_one():
    with listening() as (url, asked):
        done = call(url)

    assert done.exit_code == 0
    assert not any(path.startswith("/v1/") for path, _ in asked)


def test_what_is_no_endpoint_is_sent_no_token():
    with listening({"/healthz": {"status": "fine"}}) as (url, asked):
        done = call(url, COVEN_TOKEN=TOKEN)

    assert (done.exit_code, levels(done)) == (1, {"endpoint": "error"})
    assert [path for path, _ in asked] == ["/healthz"]


def test_nobody_listens():
    with listening() as (url, _):
        pass

    done = call(url)

    assert (done.exit_code, levels(done)) == (1, {"endpoint": "error"})


@pytest.mark.parametrize("url", ["http://coven.example.com", "nonsense"])
def test_an_address_to_which_tokens_would_go_in_the_clear_is_not_asked(url):
    done = call(url, COVEN_TOKEN=TOKEN)

    assert (done.exit_code, levels(done)) == (1, {"endpoint": "error"})


def make_certificate(folder, days):
    """Make a certificate for 127.0.0.1 that holds for so many days; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coven")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (5, "warning")])
def test_the_end_of_a_certificate_is_told(tmp_path, days, level):
    certificate, key = make_certificate(tmp_path, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with listening(context=context) as (url, _):
        done = call(url, SSL_CERT_FILE=str(certificate))

    assert levels(done)["certificate"] == level, done.output
    assert f"{days} days" in done.output


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, 90))
    with listening(context=context) as (url, asked):
        done = call(url, COVEN_TOKEN=TOKEN)

    assert (done.exit_code, levels(done)) == (1, {"endpoint": "error"})
    assert "CERTIFICATE_VERIFY_FAILED" in done.output
    assert asked == []
