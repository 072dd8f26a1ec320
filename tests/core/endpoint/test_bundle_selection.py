"""What of an endpoint's offer a run may read: checked again by what the run knows better."""

from datetime import UTC, datetime

import pytest

from coven_action.core.endpoint.bundle_selection import add_bundle, build_version, list_stale
from coven_action.core.endpoint.wire import BundleEntry, Validation
from coven_action.core.memory.entries import Citation, MemoryEntry, Source, hash_cited_lines
from coven_action.core.memory.grants import MemorySettings
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.core.memory.materialising import MAX_MATERIALISED_BYTES
from coven_action.core.memory.policy import decide_memory_policy
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.selection import PlannedMemory, Withheld, select_entries
from coven_action.core.records import sha256_hex
from tests.core.memory.values import REDACTOR, REPOSITORY_ID, TODAY, TOKEN, TREE, entry, facts, path, policy

APPROVED_AT = datetime(2026, 11, 1, tzinfo=UTC)
SHARED = policy().model_copy(update={"read_scopes": ("repo", "tenant_shared")})


def cited(name="src/tax.py", start=4, end=5):
    return Citation(path=name, start=start, end=end, sha256=hash_cited_lines(TREE[name], start, end) or "0" * 64)


def offered(key="conventions/rounding", **changes):
    text = changes.pop("text", "Totals are rounded to two places.")
    scope = changes.get("scope", "repo")
    canonical = build_canonical_key(REPOSITORY_ID, key) if scope == "repo" else f"tenant/7/{key}"
    built = BundleEntry(
        **{
            "id": build_entry_id(canonical),
            "key": key,
            "scope": "repo",
            "version": "0" * 64,
            "kind": "convention",
            "text": text,
            "text_sha256": sha256_hex(text.encode()),
            "shareable": False,
            "branches": (),
            "citations": (cited(),),
            "trust_scope": "maintainer",
            "approved_by": "person:1",
            "approved_at": APPROVED_AT,
            **changes,
        }
    )
    return built if "version" in changes else built.model_copy(update={"version": build_version(built)})


def add(*entries, planned=None, under: MemoryPolicy | None = None):
    return add_bundle(planned or PlannedMemory(), entries, under or policy(), read_file=TREE.get, redactor=REDACTOR)


def test_what_fits_is_read_as_it_was_approved():
    found = add(offered())

    assert [(each.key, each.text) for each in found.manifest] == [
        ("conventions/rounding", "Totals are rounded to two places.")
    ]
    assert found.withheld == ()
    assert found.versions == {"conventions/rounding": found.manifest[0].version}


def test_a_version_is_the_one_that_a_file_of_the_same_content_has():
    in_file = MemoryEntry(
        key="conventions/rounding",
        kind="convention",
        scope="repo",
        text="Totals are rounded to two places.",
        citations=(cited(),),
        source=Source(person="ada"),
    )

    assert offered().version == in_file.version


def test_entries_of_the_account_are_read_where_they_are_granted():
    assert [each.key for each in add(offered(scope="tenant_shared"), under=SHARED).manifest] == ["conventions/rounding"]


@pytest.mark.parametrize(
    ("change", "under", "reason"),
    [
        ({"id": "mem_" + "0" * 16}, {}, "malformed"),
        ({"id": build_entry_id(build_canonical_key(8, "conventions/rounding"))}, {}, "malformed"),
        ({"text_sha256": "0" * 64}, {}, "malformed"),
        ({"version": "0" * 64}, {}, "malformed"),
        ({"scope": "tenant_shared"}, {}, "out_of_scope"),
        ({"branches": ("release",)}, {}, "out_of_scope"),
        ({}, {"base_ref": "release"}, "out_of_scope"),
        ({}, {"trust_scope": "external"}, "not_shareable"),
        ({}, {"revoked": (f"repo/{REPOSITORY_ID}/conventions",)}, "revoked"),
        ({"text": f"The token is {TOKEN}."}, {}, "secret"),
        ({"text": "Totals are \u202erounded."}, {}, "invisible_text"),
        ({"citations": (Citation(path="src/tax.py", start=4, end=5, sha256="0" * 64),)}, {}, "stale"),
        ({"citations": (Citation(path="src/gone.py", start=1, end=1, sha256="0" * 64),)}, {}, "stale"),
    ],
)
def test_what_the_run_may_not_read_is_withheld_with_the_reason(change, under, reason):
    found = add(offered(**change), under=policy(**under))

    assert found.manifest == ()
    assert [(each.key, each.reason) for each in found.withheld] == [("conventions/rounding", reason)]


@pytest.mark.parametrize("key", ["../secrets", "Conventions/rounding", "conventions"])
def test_a_key_that_is_none_is_not_repeated(key):
    withheld = add(offered(key)).withheld

    assert [(each.key, each.reason) for each in withheld] == [("malformed", "malformed")]


def test_nothing_is_added_where_memory_is_off():
    off = decide_memory_policy(facts(), settings=MemorySettings(), trust=policy_trust())

    assert add(offered(), under=off) == PlannedMemory()


def policy_trust():
    from coven_action.core.memory.grants import MEMORY_GRANTS

    return MEMORY_GRANTS["maintainer"]


@pytest.mark.parametrize("missing", ["repository_id", "account_id"])
def test_an_id_that_is_unknown_fits_no_entry(missing):
    place = "repo_scope" if missing == "repository_id" else "tenant_scope"
    scope = "repo" if missing == "repository_id" else "tenant_shared"
    unknown = SHARED.model_copy(update={place: getattr(SHARED, place).model_copy(update={missing: None})})

    assert [each.reason for each in add(offered(scope=scope), under=unknown).withheld] == ["malformed"]


def test_a_file_of_the_repository_comes_before_an_offer_of_the_same_id():
    files = {path("conventions/rounding"): entry("From the file.")}
    planned = select_entries(files, policy(), today=TODAY, read_file=TREE.get, redactor=REDACTOR).planned

    found = add(offered(), offered("facts/build"), offered("facts/build"), planned=planned)

    assert [each.text for each in found.manifest] == ["From the file.", "Totals are rounded to two places."]
    assert found.versions["conventions/rounding"] == planned.versions["conventions/rounding"]


def test_what_does_not_fit_into_the_runtimes_file_is_withheld():
    long = [offered(f"facts/number-{number}", text="word " * 380) for number in range(30)]

    found = add(*long)

    assert sum(len(each.text) for each in found.manifest) < MAX_MATERIALISED_BYTES
    assert {each.reason for each in found.withheld} == {"too_large"}
    assert len(found.manifest) + len(found.withheld) == 30


def test_what_was_found_stale_is_reported_and_nothing_else():
    gone = (Citation(path="src/gone.py", start=1, end=1, sha256="0" * 64),)
    entries = [
        offered(),
        offered("facts/gone", citations=gone),
        offered("facts/odd", version="0" * 64),
        offered("facts/known", citations=gone),
    ]
    in_file = Withheld(id=entries[3].id, key="facts/known", reason="stale", sentence="of a file, and another version")
    planned = PlannedMemory(withheld=(in_file,))

    reported = list_stale(entries, planned, add(*entries, planned=planned), "a" * 40)

    assert reported == (Validation(id=entries[1].id, version=entries[1].version, holds=False, commit="a" * 40),)
