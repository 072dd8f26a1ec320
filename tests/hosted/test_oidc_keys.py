"""The issuer's keys in memory: no flood, no outage and no rotation makes a good token a bad one."""

import asyncio
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.oidc.claims import LEEWAY
from coven_action.core.oidc.tokens import TokenReason
from coven_action.emulator.oidc import SigningKey
from coven_action.hosted.oidc import COOLDOWN, LIFETIME, MAX_DOCUMENT, RENEWAL, RETRY, KeysUnavailable
from tests.fuzzing import examples
from tests.hosted.fake_issuer import DISCOVERY, FakeIssuer, explain
from tests.identity_tokens import CLAIMS, ISSUER, encode_object, encode_part, get_key, join, make_header

STRANGER = get_key(9)


@pytest.fixture
def issuer():
    return FakeIssuer()


def test_keys_are_fetched_once_for_all_who_ask_at_once(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        return await asyncio.gather(*(explain(verifier, issuer.mint()) for _ in range(50)))

    assert set(asyncio.run(scenario())) == {None}
    assert (issuer.refreshes, issuer.most_under_way) == (1, 1)


def test_an_unknown_name_is_sought_once_and_then_cools_down(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        await verifier.verify(issuer.mint())
        reasons = []
        for number in range(5):
            reasons.append(await explain(verifier, issuer.mint(SigningKey(f"none-{number}", get_key().private_key))))
            issuer.advance(seconds=COOLDOWN.total_seconds() / 5 - 1)
        counted = issuer.refreshes
        issuer.advance(seconds=5)
        reasons.append(await explain(verifier, issuer.mint(STRANGER)))
        return reasons, counted

    reasons, counted = asyncio.run(scenario())
    assert set(reasons) == {TokenReason.UNKNOWN_KEY}
    assert (counted, issuer.refreshes) == (2, 3)


def test_a_flood_of_names_causes_neither_a_flood_of_fetches_nor_fills_the_memory(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        _, body, _ = issuer.mint().split(".")
        for second in range(600):
            names = (f"none-{second}-{number}" for number in range(5))
            tokens = [f"{encode_object(make_header(kid=name))}.{body}.{encode_part(b'x')}" for name in names]
            assert set(await asyncio.gather(*(explain(verifier, token) for token in tokens))) == {
                TokenReason.UNKNOWN_KEY
            }
            issuer.advance(seconds=1)
        return verifier

    verifier = asyncio.run(scenario())
    assert issuer.refreshes <= 600 / COOLDOWN.total_seconds() + 1
    assert [set(kept._keys) for kept in verifier._key_sets.values()] == [{"key-1"}]


def test_a_key_withdrawn_by_the_issuer_is_given_up_within_the_hour(issuer):
    old = issuer.keys[0]

    async def scenario():
        verifier = issuer.build_verifier()
        await verifier.verify(issuer.mint())
        issuer.keys = [get_key(2)]
        issuer.advance(seconds=RENEWAL.total_seconds() - 1)
        kept = await explain(verifier, issuer.mint(old))
        issuer.advance(seconds=2)
        asked = await explain(verifier, issuer.mint(old))  # begins the fetch, and does not wait for it
        for _ in range(20):
            await asyncio.sleep(0)
        return kept, asked, await explain(verifier, issuer.mint(old)), await explain(verifier, issuer.mint())

    assert asyncio.run(scenario()) == (None, None, TokenReason.UNKNOWN_KEY, None)


def test_good_keys_are_used_for_a_day_while_the_issuer_fails(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        await verifier.verify(issuer.mint())
        issuer.trouble = issuer.fail
        reasons = []
        for _ in range(47):
            issuer.advance(minutes=30)
            reasons.append(await explain(verifier, issuer.mint()))
            await asyncio.sleep(0)
        assert verifier.failures == {ISSUER: "out of order"}
        issuer.advance(minutes=31)
        late = await explain(verifier, issuer.mint())
        issuer.trouble = None
        issuer.advance(seconds=RETRY.total_seconds())
        return reasons, late, await explain(verifier, issuer.mint()), verifier.failures

    assert timedelta(minutes=30) * 47 < LIFETIME
    reasons, late, after, failures = asyncio.run(scenario())
    assert set(reasons) == {None}
    assert (late, after, failures) == (TokenReason.KEYS_UNAVAILABLE, None, {})


TROUBLES = {
    "no answer": None,
    "an empty set": b'{"keys": []}',
    "a page": b"<html>",
    "keys of another kind": json.dumps({"keys": [get_key().public | {"use": "enc"}]}).encode(),
    "too much": b" " * (MAX_DOCUMENT + 1),
}


@pytest.mark.parametrize("body", TROUBLES.values(), ids=TROUBLES)
def test_what_is_no_key_set_takes_no_good_key_away_and_is_not_kept(issuer, body):
    def answer(url):
        if body is None:
            raise KeysUnavailable("no answer")
        return issuer.answer(url) if url.endswith(DISCOVERY) else body

    async def scenario():
        verifier = issuer.build_verifier()
        issuer.trouble = answer
        first = await explain(verifier, issuer.mint())
        again = await explain(verifier, issuer.mint())
        counted = issuer.refreshes
        issuer.trouble = None
        issuer.advance(seconds=RETRY.total_seconds())
        good = await explain(verifier, issuer.mint())
        issuer.trouble = answer
        issuer.advance(seconds=RENEWAL.total_seconds())
        renewed = [await explain(verifier, issuer.mint()) for _ in range(10)]
        unknown = await explain(verifier, issuer.mint(STRANGER))
        return (first, again), counted, good, set(renewed), unknown

    unavailable = TokenReason.KEYS_UNAVAILABLE
    assert asyncio.run(scenario()) == ((unavailable, unavailable), 1, None, {None}, unavailable)


def test_an_issuer_that_hangs_keeps_nobody_waiting_whose_key_is_known(issuer):
    async def scenario():
        verifier, hanging = issuer.build_verifier(), asyncio.Event()
        await verifier.verify(issuer.mint())
        fetch = issuer.fetch

        async def hang(url):
            await hanging.wait()
            return await fetch(url)

        for kept in verifier._key_sets.values():
            kept._fetch = hang
        issuer.advance(seconds=RENEWAL.total_seconds())
        known = [await explain(verifier, issuer.mint()) for _ in range(20)]
        newcomer = asyncio.create_task(explain(verifier, issuer.mint(get_key(2))))
        await asyncio.sleep(0)
        still_waiting = not newcomer.done()
        issuer.keys.append(get_key(2))
        hanging.set()
        return set(known), still_waiting, await newcomer

    assert asyncio.run(scenario()) == ({None}, True, None)


def test_a_key_that_was_published_while_an_answer_was_on_its_way_is_asked_for_once_more(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        issuer.hops = 50
        earlier = asyncio.create_task(explain(verifier, issuer.mint()))
        for _ in range(70):
            await asyncio.sleep(0)
        assert (len(issuer.fetched), issuer.under_way) == (2, 1)
        issuer.keys.append(get_key(2))  # the answer with the first key alone is made already
        return await asyncio.gather(earlier, *(explain(verifier, issuer.mint()) for _ in range(10)))

    assert set(asyncio.run(scenario())) == {None}
    assert (issuer.refreshes, issuer.most_under_way) == (2, 1)


def test_whoever_gives_up_takes_the_answer_from_nobody(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        impatient = asyncio.create_task(explain(verifier, issuer.mint()))
        patient = asyncio.create_task(explain(verifier, issuer.mint()))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(scenario()) is None
    assert issuer.refreshes == 1


def test_a_fault_of_our_own_is_told_and_does_not_stop_the_next_try(issuer):
    def fault(url):
        raise ZeroDivisionError

    async def scenario():
        verifier = issuer.build_verifier()
        issuer.trouble = fault
        with pytest.raises(ZeroDivisionError):
            await verifier.verify(issuer.mint())
        at_once = await explain(verifier, issuer.mint())
        issuer.trouble = None
        issuer.advance(seconds=RETRY.total_seconds())
        return at_once, await explain(verifier, issuer.mint())

    assert asyncio.run(scenario()) == (TokenReason.KEYS_UNAVAILABLE, None)


@pytest.mark.parametrize(
    "jump", [timedelta(seconds=-1), timedelta(hours=-3), timedelta(days=-400), timedelta(days=400)]
)
def test_a_clock_that_jumps_locks_nobody_out(issuer, jump):
    async def scenario():
        verifier = issuer.build_verifier()
        await verifier.verify(issuer.mint())
        await explain(verifier, issuer.mint(STRANGER))  # begins a cooldown
        issuer.advance(seconds=jump.total_seconds())
        known = await explain(verifier, issuer.mint())
        issuer.advance(seconds=(COOLDOWN + LEEWAY).total_seconds())
        issuer.keys.append(get_key(2))
        return known, await explain(verifier, issuer.mint())

    assert asyncio.run(scenario()) == (None, None)


def test_closing_ends_the_fetch_that_is_under_way(issuer):
    async def scenario():
        verifier = issuer.build_verifier()
        issuer.hops = 10_000
        waiting = asyncio.create_task(explain(verifier, issuer.mint()))
        await asyncio.sleep(0)
        await verifier.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await verifier.aclose()
        return issuer.under_way

    assert asyncio.run(scenario()) == 0


# --- rotations

KEPT = 3


class Rotation:
    """An issuer that rotates its keys while tokens are verified; `lead` is how long a key is published before it signs."""

    def __init__(self, lead):
        self.lead = lead
        self.issuer = FakeIssuer(self.make_key(0))
        self.signing = self.issuer.keys[0]
        self.made = 1

    def make_key(self, number):
        return SigningKey(f"key-{number}", get_key(number % 3 + 1).private_key)

    def rotate(self):
        key = self.make_key(self.made)
        self.made += 1
        self.issuer.keys = [*self.issuer.keys, key][-KEPT:]
        self.issuer.advance(seconds=self.lead)
        self.signing = key

    def mint(self):
        return self.issuer.mint(self.signing)


STEPS = st.lists(
    st.tuples(st.just("verify"), st.integers(1, 3))
    | st.tuples(st.just("rotate"), st.just(0))
    | st.tuples(st.just("advance"), st.sampled_from([0, 1, 9, 30, 61, 599, 3601]))
    | st.tuples(st.just("yield"), st.integers(1, 5)),
    min_size=1,
    max_size=25,
)


async def play(rotation, steps, *, with_garbage):
    """Return why valid tokens were refused: an empty list."""
    verifier, under_way = rotation.issuer.build_verifier(), []

    def begin(token):
        under_way.append(asyncio.create_task(explain(verifier, token)))

    for step, number in steps:
        if step == "verify":
            for _ in range(number):
                begin(rotation.mint())
        elif step == "rotate":
            if len(rotation.issuer.keys) == KEPT:
                # The oldest key is withdrawn now; an issuer waits with that until its tokens have expired.
                await asyncio.gather(*under_way)
            rotation.rotate()
            begin(rotation.mint())
        elif step == "yield":
            for _ in range(number):
                await asyncio.sleep(0)
        else:
            await asyncio.gather(*under_way)
            rotation.issuer.advance(seconds=number)
        if with_garbage:
            assert await explain(verifier, join(make_header(kid=f"none-{number}"), CLAIMS)) is not None
    return [reason for reason in await asyncio.gather(*under_way) if reason is not None]


@examples(60)
@given(steps=STEPS, hops=st.integers(0, 4))
def test_no_rotation_refuses_a_valid_token_even_of_a_key_that_signs_as_soon_as_it_is_published(steps, hops):
    rotation = Rotation(lead=0)
    rotation.issuer.hops = hops

    assert asyncio.run(play(rotation, steps, with_garbage=False)) == []
    assert rotation.issuer.most_under_way <= 1


@examples(60)
@given(steps=STEPS, hops=st.integers(0, 4))
def test_no_flood_of_names_refuses_a_valid_token_of_a_key_that_was_published_a_minute_before_it_signs(steps, hops):
    rotation = Rotation(lead=int(COOLDOWN.total_seconds()))
    rotation.issuer.hops = hops

    assert asyncio.run(play(rotation, steps, with_garbage=True)) == []


def test_a_hundred_rotations_are_followed():
    rotation = Rotation(lead=0)

    assert asyncio.run(play(rotation, [("rotate", 0), ("advance", 1)] * 100, with_garbage=False)) == []
    assert rotation.issuer.refreshes <= 101
