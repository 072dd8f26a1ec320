"""Words, the order of entries, and what fits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.ranking import (
    MAX_POSTINGS,
    MAX_TERM,
    MAX_TERMS,
    STOP_WORDS,
    TRUST_ORDER,
    Candidate,
    bound_candidates,
    choose_terms,
    estimate_tokens,
    extract_path_terms,
    extract_query,
    extract_terms,
    fill,
    measure_overlap,
    rank,
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("the and of", ()),
        ("a b c", ()),
        ("Money is rounded; rounding rounds", ("money", "round")),
        ("parseHTTPBody2", ("pars", "http", "body2")),
        ("src/billing/money_utils.py", ("src", "bill", "money", "util", "py")),
        ("half-even half_even half.even", ("half", "even")),
        ("caches cached cache caching", ("cach",)),
        ("running run runs stopped stop", ("run", "stop")),
        ("policies policy", ("policy",)),
        ("classes class", ("class",)),
        ("status analysis bus", ("status", "analysis", "bus")),
        ("thing ring ed", ("thing", "ring", "ed")),
        ("STRASSE Straße", ("strass",)),
        ("\uff21\uff22\uff23", ("abc",)),
        ("Zürich", ("zürich",)),
        ("x" * 200, ("x" * MAX_TERM,)),
        ("one two 2025", ("two", "2025")),
    ],
)
def test_words_are_compared_by_their_stems(text, terms):
    assert extract_terms(text) == terms


@given(st.text())
def test_terms_are_distinct_short_and_say_something(text):
    terms = extract_terms(text)

    assert len(set(terms)) == len(terms)
    assert all(0 < len(term) <= MAX_TERM and "_" not in term and "/" not in term for term in terms)


@given(st.lists(st.from_regex(r"[a-z]{2,8}", fullmatch=True)))
def test_words_do_not_depend_on_what_stands_around_them(words):
    """A text is found by a word of it, wherever the word stands in the request."""
    alone = [extract_terms(word) for word in words]

    assert set(extract_terms(" ".join(words))) == {term for terms in alone for term in terms}
    assert not {term for word in STOP_WORDS for term in extract_terms(word)}


def test_a_request_is_bounded_and_its_paths_come_first():
    text = " ".join(f"word{number}x" for number in range(500))
    query = extract_query(text, ["src/ledger.py"])

    assert query[:4] == ("/src/ledger.py", "/src/", "ledger", "word0x")
    assert len(query) == MAX_TERMS
    assert extract_query("ledger", ["ledger"]) == ("/ledger", "//", "ledger")


@given(
    text=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz  _./AB2"), max_size=120),
    paths=st.lists(st.from_regex(r"([a-z]{1,4}/){0,2}[a-z]{1,6}\.py", fullmatch=True), max_size=5),
)
def test_the_words_of_a_request_are_the_first_of_all_its_words(text, paths):
    everything = [*(term for path in paths for term in extract_path_terms(path)), *extract_terms(text)]

    assert extract_query(text, paths) == tuple(dict.fromkeys(everything))[:MAX_TERMS]


@pytest.mark.parametrize(
    ("path", "terms"),
    [
        ("src/billing/money_utils.test.py", ("/src/billing/money_utils.test.py", "/src/billing/", "money", "util")),
        ("Makefile", ("/Makefile", "//", "makefil")),
        (".env", ("/.env", "//")),
        (
            "a/" * 60 + "ledger.py",
            (("/" + "a/" * 60 + "ledger.py")[-MAX_TERM:], ("/" + "a/" * 60)[-MAX_TERM:], "ledger"),
        ),
    ],
)
def test_a_file_is_found_by_itself_by_its_folder_and_by_its_name(path, terms):
    assert extract_path_terms(path) == terms


@pytest.mark.parametrize(
    ("counts", "most", "chosen"),
    [
        ({}, 10, ()),
        ({"common": 900}, 10, ("common",)),
        ({"common": 900, "rare": 1}, 10, ("rare",)),
        ({"b": 5, "a": 5, "c": 1}, 10, ("c", "a")),
        ({"b": 5, "a": 5}, 10, ("a", "b")),
        ({"b": 5, "a": 5, "rest": 1_000_000}, MAX_POSTINGS, ("a", "b")),
    ],
)
def test_the_rarest_words_lead_to_candidates(counts, most, chosen):
    assert choose_terms(counts, most) == chosen


@given(counts=st.dictionaries(st.text(max_size=3), st.integers(1, 50)), most=st.integers(0, 200))
def test_the_entries_that_are_looked_at_are_bounded(counts, most):
    chosen = choose_terms(counts, most)

    assert bool(chosen) == bool(counts)
    assert len(chosen) <= 1 or sum(counts[term] for term in chosen) <= most
    assert all(counts[term] <= counts[other] for term in chosen for other in counts.keys() - set(chosen))


@pytest.mark.parametrize(("budget", "candidates"), [(100, 32), (1_500, 37), (20_000, 500)])
def test_more_candidates_are_ranked_than_fit(budget, candidates):
    assert bound_candidates(budget) == candidates
    assert budget // estimate_tokens() <= candidates


@pytest.mark.parametrize(
    ("paths", "cited", "overlap"),
    [
        ((), ("a/b.py",), 0),
        (("a/b.py",), (), 0),
        (("a/b.py",), ("a/b.py",), 2),
        (("a/b.py",), ("a/c.py",), 1),
        (("a/b.py",), ("a/b.py", "a/c.py", "x.py"), 3),
        (("a/b.py", "a/b.py"), ("a/b.py", "a/b.py"), 2),
        (("b.py",), ("c.py",), 1),
        (("a/b.py",), ("aa/b.py", "a/x/b.py"), 0),
    ],
)
def test_cited_files_are_near_by_name_and_by_folder(paths, cited, overlap):
    assert measure_overlap(paths, cited) == overlap


def make(id_="mem_0", **changes):
    values = {
        "matched": 1, "cited_paths": (), "trust_scope": "maintainer", "by_person": True, "approved_at": 5, "tokens": 10,
    } | changes  # fmt: skip
    return Candidate(id=id_, **values)


def test_what_decides_first():
    """Words, then paths, then a person's approval, then trust, then age, then the id."""
    best_to_worst = [
        make("mem_9", matched=3, trust_scope="external", by_person=False, approved_at=0),
        make("mem_8", matched=2, cited_paths=("a/b.py",), by_person=False),
        make("mem_7", matched=2, cited_paths=("a/c.py",), by_person=False),
        make("mem_6", matched=2, trust_scope="collaborator", approved_at=0),
        make("mem_5", matched=2, by_person=False, approved_at=99),
        make("mem_4", approved_at=9, trust_scope="scheduled"),
        make("mem_2", approved_at=8, trust_scope="scheduled"),
        make("mem_3", approved_at=8, trust_scope="scheduled"),
        make("mem_1", approved_at=99, trust_scope="fork_pr"),
    ]
    shuffled = random.Random(4).sample(best_to_worst, len(best_to_worst))

    assert rank(shuffled, ["a/b.py"]) == tuple(best_to_worst)


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.from_regex(r"mem_[0-9a-f]{4}", fullmatch=True),
        matched=st.integers(0, 3),
        cited_paths=st.lists(st.sampled_from(["a/b.py", "a/c.py", "d.py"]), max_size=3).map(tuple),
        trust_scope=st.sampled_from(TRUST_ORDER),
        by_person=st.booleans(),
        approved_at=st.integers(0, 3),
        tokens=st.integers(1, 60),
    ),
    unique_by=lambda candidate: candidate.id,
    max_size=12,
)


@given(candidates=CANDIDATES, others=CANDIDATES, seed=st.randoms())
def test_the_order_is_one_and_nobody_elses_entries_move_it(candidates, others, seed):
    shuffled = list(candidates)
    seed.shuffle(shuffled)
    ranked = rank(candidates, ["a/b.py"])
    own = frozenset(candidate.id for candidate in candidates)
    together = rank([*candidates, *(other for other in others if other.id not in own)], ["a/b.py"])

    assert rank(shuffled, ["a/b.py"]) == ranked
    assert tuple(candidate for candidate in together if candidate.id in own) == ranked


@given(candidates=CANDIDATES, budget=st.integers(0, 200))
def test_the_budget_is_never_exceeded_and_nothing_that_fits_is_passed_over(candidates, budget):
    filled = fill(candidates, budget)

    assert filled.tokens == sum(candidate.tokens for candidate in filled.chosen) <= budget
    assert len(filled.chosen) + filled.left_out == len(candidates)
    left = budget
    for candidate in candidates:
        assert (candidate in filled.chosen) == (candidate.tokens <= left)
        left -= candidate.tokens if candidate in filled.chosen else 0


@given(st.lists(st.text(), max_size=4))
def test_an_estimate_covers_three_bytes_a_token_and_grows(texts):
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    assert estimate_tokens(*texts) * 3 >= size + 240
    assert estimate_tokens(*texts, "more") > estimate_tokens(*texts)
