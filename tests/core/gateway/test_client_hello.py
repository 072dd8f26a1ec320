"""The name in a ClientHello: as real ones carry it, and in every other case no name at all."""

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.gateway.client_hello import MAX_HELLO_BYTES, HelloError, read_server_name


def greet(name, *, maximum=None) -> bytes:
    """The hello of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum is not None:
        context.maximum_version = maximum
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def vector(size, data) -> bytes:
    return len(data).to_bytes(size, "big") + data


def name_extension(*names, kind=0) -> bytes:
    entries = b"".join(bytes([kind]) + vector(2, name) for name in names)
    return b"\0\0" + vector(2, vector(2, entries))


def build_hello(*extensions, version=b"\3\3", after=b"") -> bytes:
    body = version + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0")
    return body + vector(2, b"".join(extensions)) + after


def wrap(body, *, message=1, record=22, major=3) -> bytes:
    return bytes([record, major, 1]) + vector(2, bytes([message]) + vector(3, body))


def split(data, size) -> bytes:
    """The same handshake, spread over records of `size` bytes."""
    payload = data[5:]
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    return b"".join(b"\x16\3\1" + struct.pack(">H", len(piece)) + piece for piece in pieces)


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_real_hello_names_its_host(maximum):
    assert read_server_name(greet("Packages.Test", maximum=maximum)) == "packages.test"


@given(st.integers(min_value=1, max_value=600))
def test_records_may_divide_it_anywhere(size):
    assert read_server_name(split(HELLO, size)) == "packages.test"


def test_until_it_is_whole_more_is_needed():
    for data in (HELLO, split(HELLO, 3)):
        assert [read_server_name(data[:end]) for end in range(len(data))] == [None] * len(data)
        assert read_server_name(data + b"whatever follows") == "packages.test"


HELLO = greet("packages.test")
NAMED = name_extension(b"packages.test")

REFUSED = {
    "no name": greet(None),
    "no extensions": wrap(build_hello()),
    "two extensions with names": wrap(build_hello(NAMED, NAMED)),
    "two names": wrap(build_hello(name_extension(b"packages.test", b"evil.test"))),
    "an empty list of names": wrap(build_hello(name_extension())),
    "another kind of name": wrap(build_hello(name_extension(b"packages.test", kind=1))),
    "a name that is not ASCII": wrap(build_hello(name_extension("päckages.test".encode()))),
    "a name longer than its list": wrap(build_hello(b"\0\0" + vector(2, vector(2, b"\0\0\xffpackages.test")))),
    "something after the list": wrap(build_hello(b"\0\0" + vector(2, vector(2, b"\0" + vector(2, b"a")) + b"x"))),
    "an encrypted hello": wrap(build_hello(NAMED, b"\xfe\x0d" + vector(2, b"\0" * 40))),
    "something after the extensions": wrap(build_hello(NAMED, after=b"x")),
    "an extension cut short": wrap(build_hello(NAMED, b"\0")),
    "another version": wrap(build_hello(NAMED, version=b"\2\0")),
    "a server's hello": wrap(build_hello(NAMED), message=2),
    "an alert": wrap(build_hello(NAMED), record=21),
    "an older record": wrap(build_hello(NAMED), major=2),
    "an empty record": b"\x16\3\1\0\0" + HELLO,
    "a record that is too long": b"\x16\3\1\x40\x01",
    "a message that is too long": b"\x16\3\1\0\4\1\xff\xff\xff",
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: packages.test\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a proxy's preface": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 443\r\n" + HELLO,
    "cut in the middle": wrap(build_hello(NAMED)[:40]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_names_no_one_host_in_the_clear_is_refused(case):
    with pytest.raises(HelloError):
        read_server_name(REFUSED[case])


def test_it_does_not_wait_for_ever():
    # One byte of the message in each record: the announced length is allowed, the bytes around it are too many.
    message = b"\1" + vector(3, bytes(20_000))
    crumbs = b"".join(b"\x16\3\1\0\1" + message[index : index + 1] for index in range(9000))
    assert len(crumbs) > MAX_HELLO_BYTES
    with pytest.raises(HelloError):
        read_server_name(crumbs)


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=600))
def test_no_bytes_make_it_fail_otherwise(noise, place):
    data = HELLO[:place] + noise + HELLO[place + len(noise) :]
    try:
        name = read_server_name(data)
    except HelloError:
        return
    assert name is None or name.isascii()
