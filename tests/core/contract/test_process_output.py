import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.contract.process_output import LINE_BYTES, ProcessLimits, ProcessOutput
from tests.fuzzing import examples


def build_output(**limits):
    written = []
    return ProcessOutput(ProcessLimits(seconds=1, **limits), written.append), written


def test_lines_of_two_streams_are_never_mixed():
    output, written = build_output()
    for stream, chunk in [("stdout", b"to"), ("stderr", b"err"), ("stdout", b"ken\nre"), ("stderr", b"or\n")]:
        output.take(stream, chunk)
    output.finish()

    assert written == [b"token\n", b"error\n", b"re"]


def test_a_line_without_end_is_handed_on_in_pieces():
    output, written = build_output()
    output.take("stdout", b"x" * (LINE_BYTES + 1))
    output.finish()

    assert written == [b"x" * (LINE_BYTES + 1)]


def test_what_exceeds_the_cap_is_counted_and_dropped():
    output, written = build_output(kept_bytes=4, hard_bytes=8, tail_bytes=3)
    output.take("stdout", b"abc")
    assert not output.truncated
    output.take("stderr", b"def")
    output.take("stdout", b"gh")
    output.finish()

    assert b"".join(written) == b"abcd"
    assert (output.total, output.truncated, output.flooded) == (8, True, False)
    assert output.stdout_tail == b"cgh"


def test_a_flood_is_noticed_and_the_tail_is_kept_all_the_same():
    output, _ = build_output(kept_bytes=1, hard_bytes=8, tail_bytes=4)
    output.take("stdout", b"0123456789")

    assert output.flooded
    assert output.stdout_tail == b"6789"


@examples(100)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=20)), max_size=20))
def test_nothing_is_lost_below_the_cap(chunks):
    output, written = build_output()
    for stream, chunk in chunks:
        output.take(stream, chunk)
    output.finish()

    assert output.total == sum(len(chunk) for _, chunk in chunks) == sum(map(len, written))
    assert output.stdout_tail == b"".join(chunk for stream, chunk in chunks if stream == "stdout")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_empty_stream_hands_on_nothing(stream):
    output, written = build_output()
    output.take(stream, b"")
    output.finish()

    assert written == []
