"""Both sides of a gateway: a model's host that speaks TLS, a certification authority, and a client on the socket."""

import datetime as dt
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coven_action.adapters.gateway.process import Gateway
from coven_action.core.gateway.order import Budget, GatewayOrder, TestNetwork

HOST = "api.model.test"
KEY = "sk-ant-api03-Zk9xQ2vLr7TnB4wYc8HdPf6MsJa1GeUo3KiXbVtRqNy5WlCz"
PLACEHOLDER = "placeholder-of-the-agent"
MODEL = "claude-sonnet-4-6"
NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=365)


class Authority:
    """A certification authority of its own, which issues certificates for hosts into a folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._sign(self._name, self._key, [x509.BasicConstraints(ca=True, path_length=None)])

    @property
    def pem(self) -> str:
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, host: str, *, days: int = 300) -> Path:
        """Write the certificate and key of a host into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key, [x509.SubjectAlternativeName([x509.DNSName(host)])], days=days)
        path = self.folder / f"{host}-{certificate.serial_number}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def _sign(self, name, key, extensions, *, days: int = 300):
        builder = (
            x509.CertificateBuilder(subject_name=name, issuer_name=self._name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - YEAR)
            .not_valid_after(NOW + dt.timedelta(days=days))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        if not any(isinstance(extension, x509.BasicConstraints) for extension in extensions):
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        else:
            usage = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True).add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


@dataclass
class Asked:
    """A request as the model's host saw it."""

    server_name: str | None
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def text(self) -> str:
        return f"{self.method} {self.target} {self.headers} {self.body!r}"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of a `ModelHost`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        self.request.do_handshake()
        super().setup()

    def log_message(self, *_):
        pass

    def serve(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        name = owner.names.get(self.request)
        owner.asked.append(Asked(name, self.command, self.path, list(self.headers.items()), body))
        (owner.answer or answer_message)(self)
        self.wfile.flush()

    do_POST = do_GET = do_PUT = serve  # noqa: N815 - http.server's names

    def reply(self, status, body, *, kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin_events(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def send_chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """Wraps each connection in TLS; the handshake is left to its thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner):
        super().__init__(("127.0.0.1", 0), Handler)
        self.owner = owner
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(owner.certificate)
        self.context.sni_callback = lambda connection, name, _: owner.names.__setitem__(connection, name)

    def get_request(self):
        connection, address = super().get_request()
        self.owner.connections += 1
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """A client that hangs up, or refuses the certificate, is what some tests are about."""


@dataclass
class ModelHost:
    """A host that answers over TLS as the test says; `answer` is given the handler."""

    certificate: Path
    answer: object = None
    asked: list[Asked] = field(default_factory=list)
    names: dict[object, str | None] = field(default_factory=dict)
    connections: int = 0

    def __enter__(self):
        self._server = Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]


def build_message(text="hello", *, model=MODEL, read=10, written=5) -> bytes:
    usage = {"input_tokens": read, "output_tokens": written}
    return json.dumps({"type": "message", "model": model, "content": [{"text": text}], "usage": usage}).encode()


def answer_message(handler) -> None:
    handler.reply(200, build_message())


def build_event(document, kind: str | None = None) -> bytes:
    name = f"event: {kind or document['type']}\n" if kind or "type" in document else ""
    return f"{name}data: {json.dumps(document)}\n\n".encode()


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """One connection to the gateway's socket, on which anything can be said."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self._read = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._read.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_head(self) -> Reply:
        status = int(self._read.readline().split()[1])
        headers = []
        while line := self._read.readline().strip():
            name, _, value = line.decode().partition(":")
            headers.append((name.lower(), value.strip()))
        return Reply(status, headers, b"")

    def read_chunk(self) -> bytes:
        size = int(self._read.readline(), 16)
        data = self._read.read(size)
        assert self._read.readline() == b"\r\n"
        return data

    def read_reply(self) -> Reply:
        reply = self.read_head()
        if reply.get("content-length") is not None:
            reply.body = self._read.read(int(reply.get("content-length")))
        else:
            while chunk := self.read_chunk():
                reply.body += chunk
        return reply

    def read_rest(self) -> bytes:
        return self._read.read()

    def ask(self, body=None, **more) -> Reply:
        self.send(build_request(body, **more))
        return self.read_reply()


def build_request(body=None, *, method="POST", target="/v1/messages", headers=(), host="127.0.0.1:4100") -> bytes:
    document = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    data = body if isinstance(body, bytes) else json.dumps(document | (body or {})).encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"x-api-key: {PLACEHOLDER}"]
    if method == "POST":
        lines += ["content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (data if method == "POST" else b"")


def build_order(folder: Path, authority: Authority, routes, **more) -> GatewayOrder:
    return GatewayOrder(
        **{
            "provider": "anthropic",
            "host": HOST,
            "budget": Budget(requests=100),
            "socket": str(folder / "gateway.sock"),
            "internal_be_careful_test_network": TestNetwork(certificates=authority.pem, routes=routes),
            **more,
        }
    )


def start_gateway(order: GatewayOrder, **more) -> Gateway:
    return Gateway(order, KEY, **{"environment": {}, **more})
