"""Asking for an ID token: from a local GitHub, and from a server that is sometimes something else."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from coven_action.adapters.id_token import MAX_ANSWER, TOKEN_VARIABLE, URL_VARIABLE, RequestLimits, request_id_token
from coven_action.error_codes import CODES
from coven_action.errors import EnvironmentFault, Error, GitHubError
from tests.identity_tokens import CLAIMS, join, make_header

TOKEN = join(make_header(), CLAIMS)
QUICK = RequestLimits(total_seconds=5, tries=3, pause_seconds=0.001)
SECRET = "request-credential-5e1f"


class Service:
    """Answers each request with the next of its behaviours, the last one for ever."""

    def __init__(self):
        self.behaviours = [self.give(json.dumps({"count": 1, "value": TOKEN}).encode())]
        self.requests = []
        self.ended = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                number = len(service.requests)
                service.requests.append((self.path, self.headers["Authorization"]))
                service.behaviours[min(number, len(service.behaviours) - 1)](self)

            def log_message(self, *_):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def variables(self):
        return {URL_VARIABLE: f"{self.url}/token?api-version=2.0", TOKEN_VARIABLE: SECRET}

    def give(self, body, status=200, **headers):
        def behave(handler):
            handler.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                handler.send_header(name, str(value))
            handler.end_headers()
            handler.wfile.write(body)

        return behave

    def hang(self, _handler):
        self.ended.wait(20)

    def drip(self, handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while not self.ended.wait(0.01):
                handler.wfile.write(b" ")
        except OSError:
            return

    def hang_up(self, handler):
        handler.connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service():
    running = Service()
    yield running
    running.close()


def refuse(variables, limits=QUICK):
    with pytest.raises(Error) as refused:
        request_id_token(variables, "https://coven.example", limits=limits)
    return refused.value


def test_a_job_that_may_ask_is_given_its_token(service):
    assert request_id_token(service.variables, "https://coven.example/a b?c&d=é") == TOKEN
    assert service.requests == [
        ("/token?api-version=2.0&audience=https%3A%2F%2Fcoven.example%2Fa+b%3Fc%26d%3D%C3%A9", f"bearer {SECRET}")
    ]


def test_an_address_without_a_query_is_given_one(service):
    variables = service.variables | {URL_VARIABLE: f"{service.url}/token"}

    assert request_id_token(variables, "x") == TOKEN
    assert service.requests[0][0] == "/token?audience=x"


@pytest.mark.parametrize(
    "variables",
    [{}, {URL_VARIABLE: "https://x"}, {TOKEN_VARIABLE: SECRET}, {URL_VARIABLE: "", TOKEN_VARIABLE: SECRET}],
)
def test_a_job_that_may_not_ask_is_told_which_permission_it_lacks(variables):
    error = refuse(variables)

    assert isinstance(error, EnvironmentFault)
    assert error.code == "id-token-not-permitted"
    assert "id-token: write" in error.remedy


ADDRESSES = [
    "http://pipelines.example/token", "ftp://127.0.0.1/token", "//127.0.0.1/token", "token", "http://127.0.0.1.evil.example/",
    "http://[::1", "https://\0/", "file:///etc/passwd", "http://localhost.evil.example/",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES, ids=ascii)
def test_the_credential_goes_by_https_or_stays_on_this_machine(address):
    error = refuse({URL_VARIABLE: address, TOKEN_VARIABLE: SECRET})

    assert (type(error), error.code) == (GitHubError, "id-token-failed")
    assert "https" in error.message or "none" in error.message


PASSING = [408, 429, 500, 502, 503, 504]


@pytest.mark.parametrize("status", PASSING)
def test_what_passes_is_asked_again(service, status):
    service.behaviours = [service.give(b"{}", status), service.give(b"", status), *service.behaviours]

    assert request_id_token(service.variables, "x", limits=QUICK) == TOKEN
    assert len(service.requests) == 3


def test_a_lost_answer_is_asked_for_again(service):
    service.behaviours = [service.hang_up, *service.behaviours]

    assert request_id_token(service.variables, "x", limits=QUICK) == TOKEN


def test_the_tries_are_counted_and_bounded_in_time(service):
    service.behaviours = [service.give(b"{}", 503)]

    assert "503" in refuse(service.variables).message
    assert len(service.requests) == QUICK.tries
    refuse(service.variables, RequestLimits(total_seconds=0.2, tries=1000, pause_seconds=0.15))
    assert len(service.requests) <= QUICK.tries + 2


ANSWERS = {
    "no permission": (403, b'{"message": "no"}', "403"),
    "not found": (404, b"", "404"),
    "a redirect": (302, b"", "302"),
    "nothing": (204, b"", "204"),
    "a page": (200, b"<html>canary-7a</html>", "document"),
    "no object": (200, b'["canary-7a"]', "document"),
    "a key twice": (200, b'{"value": "canary-7a", "value": "canary-7a"}', "document"),
    "no token": (200, b'{"message": "canary-7a"}', "no token"),
    "a number": (200, b'{"value": 1}', "no token"),
    "null": (200, b'{"value": null}', "no token"),
    "two lines": (200, json.dumps({"value": f"{TOKEN}\ncanary-7a"}).encode(), "no token"),
    "a command for the runner": (
        200,
        json.dumps({"value": "a.b.c\n::set-output name=canary-7a::x"}).encode(),
        "no token",
    ),
    "a very long token": (200, json.dumps({"value": "canary-7a." * 900}).encode(), "no token"),
    "too much": (200, b" " * (MAX_ANSWER + 1), "too large"),
}


@pytest.mark.parametrize(("status", "body", "word"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_without_a_token_is_not_repeated_in_the_error(service, status, body, word):
    service.behaviours = [service.give(body, status, Location=f"{service.url}/elsewhere")]
    error = refuse(service.variables)

    assert (error.code, word in error.message) == ("id-token-failed", True)
    assert "canary-7a" not in error.diagnostics() + repr(error) + repr(error.__cause__)
    assert SECRET not in error.diagnostics() + repr(error) + repr(error.__cause__)
    assert len(service.requests) == 1


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_service_that_takes_its_time_is_left(service, behaviour):
    service.behaviours = [getattr(service, behaviour)]
    error = refuse(service.variables, RequestLimits(total_seconds=0.3, tries=2, pause_seconds=0.01))

    assert error.code == "id-token-failed"


@pytest.mark.parametrize("credential", ["a\nb", "a\r\nX-Other: 1", "é", "\0"])
def test_a_credential_that_is_no_header_is_not_sent(service, credential):
    error = refuse(service.variables | {TOKEN_VARIABLE: credential})

    assert error.code == "id-token-failed"
    assert service.requests == []


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(service, monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert request_id_token(service.variables, "x", limits=QUICK) == TOKEN


def test_a_service_that_is_not_there_is_told(service):
    variables = service.variables | {URL_VARIABLE: "http://127.0.0.1:1/token"}

    assert "ConnectError" in refuse(variables).message
    assert CODES["id-token-failed"].remedy
