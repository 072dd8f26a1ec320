"""Which outboxes of earlier runs are relayed, and what of them."""

import io
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.outbox import MAX_AGE
from coven_action.core.endpoint.relaying import (
    MAX_ARCHIVE_BYTES,
    MAX_ARTIFACTS,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REMEMBERED,
    OUTBOX_NAMES,
    OutboxArtifact,
    RunFacts,
    SetAside,
    choose_artifacts,
    describe_set_aside,
    halve,
    is_of_workflow,
    keep_own,
    list_refused,
    parse_files,
    read_archive,
    remember,
    set_aside,
    split_request,
)
from coven_action.core.endpoint.wire import MAX_BODY_BYTES, Envelope, RelayRequest, RelayVerdict, RelayVerdicts
from coven_action.core.records import sha256_hex
from coven_action.errors import DocumentError
from tests.fuzzing import examples

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TASK = TaskIdentity(repository_id=9, event_name="issues", run_id=8, run_attempt=1)


def artifact(number=100, **facts):
    plain = {
        "id": number,
        "name": OUTBOX_NAMES[0],
        "size": 500,
        "digest": None,
        "expired": False,
        "created_at": NOW - timedelta(hours=1),
        "run_id": 7,
        "head_repository_id": 9,
        "head_branch": "main",
    }
    return OutboxArtifact(**{**plain, **facts})


def choose(*found, relayed=()):
    chosen = choose_artifacts(found, task=TASK, default_branch="main", relayed=relayed, now=NOW)
    return [each.id for each in chosen]


def envelope(run_id=7, *, attempt=1, repository_id=9, kind="finish", body='{"state": "done"}'):
    key = f"{repository_id}:{run_id}:{attempt}:{kind}:publish"
    return Envelope(
        kind=kind, key=key, repository_id=repository_id, run_id=run_id, run_attempt=attempt, created_at=NOW, body=body
    )


def pack(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def test_those_that_wait_longest_are_relayed_first_and_no_more_than_a_run_may():
    waiting = [artifact(number) for number in (105, 101, 104, 103, 102)]

    assert choose(*waiting) == [101, 102, 103]
    assert choose(*waiting, relayed=(101, 103)) == [102, 104, 105]
    assert len(choose(*waiting)) == MAX_ARTIFACTS


REFUSED = {
    "another name": {"name": "coven-outbox-x"},
    "a longer name": {"name": "coven-outbox-10"},
    "gone": {"expired": True},
    "our own": {"run_id": 8},
    "a fork's": {"head_repository_id": 10},
    "another branch's": {"head_branch": "feature"},
    "no branch's": {"head_branch": None},
    "a week old": {"created_at": NOW - MAX_AGE - timedelta(seconds=1)},
    "large": {"size": MAX_ARCHIVE_BYTES + 1},
}


@pytest.mark.parametrize("facts", REFUSED.values(), ids=REFUSED)
def test_what_the_repository_s_own_runs_did_not_leave_is_not_touched(facts):
    assert choose(artifact(**facts)) == []
    assert choose(artifact(**facts), artifact(101)) == [101]


def test_at_the_limits_it_is_still_relayed():
    assert choose(artifact(created_at=NOW - MAX_AGE, size=MAX_ARCHIVE_BYTES, name="coven-outbox-2")) == [100]


@pytest.mark.parametrize(
    ("run", "expected"),
    [({}, True), ({"workflow_id": 4}, False), ({"head_branch": "feature"}, False), ({"head_branch": None}, False)],
    ids=["same", "another workflow", "another branch", "no branch"],
)
def test_a_run_of_another_workflow_is_not_of_ours(run, expected):
    own = RunFacts(id=8, workflow_id=3, head_branch="main")

    assert is_of_workflow(RunFacts(**{"id": 7, "workflow_id": 3, "head_branch": "main", **run}), own) is expected


def test_the_newest_are_remembered():
    assert remember((1, 5), (3, 5)) == (1, 3, 5)
    assert remember(range(200), (500,)) == (*range(200 - MAX_REMEMBERED + 1, 200), 500)


def test_an_archive_is_read_by_name():
    data = pack({"4-b.json": b"{}", "0-a.sealed": b"x"})

    assert read_archive(data, f"sha256:{sha256_hex(data)}") == (("0-a.sealed", b"x"), ("4-b.json", b"{}"))
    assert read_archive(data, None) == read_archive(data, f"sha256:{sha256_hex(data)}")


def claim_size(data, size):
    """Return a zip file whose headers claim another unpacked size."""
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(signature) + place
        data = data[:start] + size.to_bytes(4, "little") + data[start + 4 :]
    return data


def link():
    info = zipfile.ZipInfo("../../etc/passwd")
    info.external_attr = 0o120777 << 16
    return info


# How an entry of the central directory begins: signature, version made by, version needed; then flags and method.
ENTRY = b"PK\x01\x02\x14\x03\x14\x00"
ARCHIVES = {
    "no zip file": b"PK",
    "cut off": pack({"a.json": b"{}"})[:-10],
    "a path": pack({"../a.json": b"{}"}),
    "an absolute path": pack({"/a.json": b"{}"}),
    "a folder": pack({"a/b.json": b"{}"}),
    "a backslash": pack({"..\\a.json": b"{}"}),
    "a hidden file": pack({".a.json": b"{}"}),
    "a newline": pack({"a.json\n": b"{}"}),
    "another kind": pack({"a.sh": b"x"}),
    "a link": pack({link(): b"/etc/passwd"}),
    "many": pack({f"{number}.json": b"" for number in range(MAX_FILES + 1)}),
    "a large file": pack({"a.json": b" " * (MAX_FILE_BYTES + 1)}),
    "a bomb": pack({f"{number}.json": b" " * MAX_FILE_BYTES for number in range(9)}),
    "a bomb that lies": claim_size(pack({"a.json": b" " * (MAX_FILE_BYTES * 4)}), 10),
    "a wrong checksum": pack({"a.json": b"content"}, zipfile.ZIP_STORED).replace(b"content", b"tampers"),
    "an unknown method": pack({"a.json": b"{}"}).replace(ENTRY + b"\x00\x00\x08", ENTRY + b"\x00\x00\x63"),
    "encrypted": pack({"a.json": b"{}"}).replace(ENTRY + b"\x00\x00", ENTRY + b"\x01\x00"),
}  # fmt: skip


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_with_anything_odd_is_refused_as_a_whole(data):
    with pytest.raises(DocumentError) as refused:
        read_archive(data, None)
    assert refused.value.code == "outbox-refused"


def test_a_name_that_is_there_twice_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("a.json", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("a.json", b"2")

    with pytest.raises(DocumentError, match="twice"):
        read_archive(buffer.getvalue(), None)


def test_another_file_than_the_one_that_github_names_is_refused():
    with pytest.raises(DocumentError, match="digest"):
        read_archive(pack({"a.json": b"{}"}), f"sha256:{'0' * 64}")


@examples(100)
@given(st.binary(max_size=400), st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_whatever_the_bytes_an_archive_is_read_or_refused(noise, place, change):
    good = pack({"0-a.json": envelope().model_dump_json(), "1-b.sealed": b"eA=="})
    for data in (noise, good[:place] + change + good[place + len(change) :]):
        with suppress(DocumentError):
            read_archive(data, None)


def test_files_become_a_request_in_the_order_of_delivery():
    files = (
        ("a.json", envelope().model_dump_json().encode()),
        ("b.json", envelope(kind="report").model_dump_json().encode()),
        ("c.sealed", b"eA=="),
        ("d.json", b"no envelope"),
        ("e.sealed", b"\xff"),
        ("f.sealed", b""),
        ("g.sealed", b"x" * 1_500_001),
        ("h.txt", envelope(run_id=6).model_dump_json().encode()),
    )

    request = parse_files(files, NOW)

    assert [each.kind for each in request.envelopes] == ["report", "finish"]
    assert request.sealed == ("eA==",)


def test_an_artifact_speaks_for_the_run_that_left_it_alone():
    others = (envelope(run_id=6), envelope(attempt=2), envelope(repository_id=10))
    request = RelayRequest(envelopes=(envelope(), *others), sealed=("x",))

    kept = keep_own(request, artifact(), 9)

    assert kept.envelopes == (envelope(),)
    assert kept.sealed == ("x",)
    assert keep_own(request, artifact(name="coven-outbox-2"), 9).envelopes == (envelope(attempt=2),)


def test_a_request_is_split_so_that_the_endpoint_takes_it():
    large = envelope(body='"' * 300_000)  # twice as long once it is written as JSON
    request = RelayRequest(envelopes=(envelope(), large, large), sealed=("s" * 700_000, "t" * 700_000))

    parts, too_large = split_request(request)

    assert all(len(part.model_dump_json().encode()) <= MAX_BODY_BYTES for part in parts)
    assert tuple(each for part in parts for each in part.envelopes) == request.envelopes
    assert tuple(each for part in parts for each in part.sealed) == request.sealed
    assert (len(parts), too_large) == (4, ())


def test_what_is_larger_than_a_request_alone_is_set_aside():
    request = RelayRequest(envelopes=(envelope(body='"' * 600_000), envelope()), sealed=("s" * 1_200_000,))

    (part,), too_large = split_request(request)

    assert (part.envelopes, part.sealed) == ((envelope(),), ())
    assert [each.name for each in too_large] == [f"finish {envelope().key}", "a sealed envelope"]
    assert split_request(RelayRequest()) == ((), ())


@given(st.integers(0, 5), st.integers(0, 5))
def test_halves_hold_everything_once_and_end(opened, sealed):
    request = RelayRequest(
        envelopes=tuple(envelope(run_id=number + 1) for number in range(opened)),
        sealed=tuple(f"s{number}" for number in range(sealed)),
    )

    def divide(part):
        halves = halve(part)
        assert all(len(half.envelopes) + len(half.sealed) >= 1 for half in halves)
        return [leaf for half in halves for leaf in divide(half)] if halves else [part]

    leaves = divide(request)

    assert tuple(each for leaf in leaves for each in leaf.envelopes) == request.envelopes
    assert tuple(each for leaf in leaves for each in leaf.sealed) == request.sealed
    assert all(len(leaf.envelopes) + len(leaf.sealed) <= 1 for leaf in leaves)


def test_what_is_not_accepted_is_named_with_its_reason():
    request = RelayRequest(envelopes=(envelope(run_id=1), envelope(run_id=2)), sealed=("s", "t"))
    answer = RelayVerdicts(
        verdicts=(
            RelayVerdict(key="", accepted=True),
            RelayVerdict(key="", accepted=False, reason="it is over"),
            RelayVerdict(key="", accepted=False, reason="not for us"),
        )
    )

    refused = list_refused(request, answer)

    assert [(each.name, each.reason) for each in refused] == [
        (f"finish {envelope(run_id=2).key}", "it is over"),
        ("a sealed envelope", "not for us"),
        ("a sealed envelope", "the endpoint said nothing of it"),
    ]
    assert list_refused(request, RelayVerdicts(verdicts=(RelayVerdict(key="", accepted=True),) * 4)) == ()


def test_a_request_that_is_refused_as_a_whole_is_named_piece_by_piece():
    request = RelayRequest(envelopes=(envelope(),), sealed=("s",))

    assert [(each.name, each.reason) for each in set_aside(request, "no")] == [
        (f"finish {envelope().key}", "no"),
        ("a sealed envelope", "no"),
    ]


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (["late"], "1 set aside, in coven-outbox-1 of run 7 until that expires (e0: late)"),
        ([""], "1 set aside, in coven-outbox-1 of run 7 until that expires (e0: no reason given)"),
        (
            ["a", "b", "c", "d", "e", "f", "g"],
            "7 set aside, in coven-outbox-1 of run 7 until that expires (e0: a; e1: b; e2: c; e3: d; e4: e; and 2 more)",
        ),
    ],
)
def test_what_is_set_aside_is_said_in_one_line(reasons, said):
    refused = [SetAside(name=f"e{number}", reason=reason) for number, reason in enumerate(reasons)]

    assert describe_set_aside(artifact(), refused) == said
