from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.backends import choose_best
from coven_action.core.sandbox.probes import PROBES, Attempt, ProbeResult, build_attempt
from coven_action.core.sandbox.rendering import MEANINGS, describe_report, render_report

ESCAPED = ProbeResult(probe="udp", outcome="escaped", detail="a datagram\n::error::arrived\x1b[31m outside")
HELD = tuple(ProbeResult(probe=probe.name, outcome="held") for probe in PROBES)
ATTEMPTS = (
    Attempt(backend="bubblewrap", level="none", reason="bwrap: No permissions\nto create a namespace"),
    build_attempt("landlock", "", (*HELD, ESCAPED)),
)


def test_the_table_names_the_level_each_backend_and_each_probe():
    lines = render_report(choose_best(ATTEMPTS), ATTEMPTS).splitlines()

    assert lines[0].startswith("isolation partial by landlock: ")
    assert "  not started: bwrap: No permissions to create a namespace" in lines
    assert lines[2].startswith("bubblewrap: none (")
    assert len([line for line in lines if line.startswith(("  held", "  escaped", "  not tried"))]) == len(PROBES)
    assert next(line for line in lines if "udp" in line) == (
        "  escaped    udp                  send UDP: a datagram ::error::arrived[31m outside"
    )


def test_no_word_of_a_program_begins_a_line_or_reaches_the_terminal():
    text = render_report(choose_best(ATTEMPTS), ATTEMPTS)

    assert "\x1b" not in text
    assert not any(line.startswith("::") for line in text.splitlines())


def test_a_long_detail_stays_within_the_lines():
    long = build_attempt("landlock", "", [ProbeResult(probe="udp", outcome="escaped", detail="word " * 60)])

    assert max(map(len, render_report(long, (long,)).splitlines())) <= 118


def test_every_level_is_explained():
    assert set(MEANINGS) == set(LEVELS)


def test_the_document_for_programs_says_the_same():
    document = describe_report(choose_best(ATTEMPTS), ATTEMPTS)

    assert (document["level"], document["backend"]) == ("partial", "landlock")
    assert [attempt["level"] for attempt in document["attempts"]] == ["none", "partial"]
    assert document["attempts"][0]["reason"].startswith("bwrap: ")
    assert document["attempts"][1]["results"][-1]["probe"] == PROBES[-1].name
