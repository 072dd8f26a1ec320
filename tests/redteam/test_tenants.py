"""S33 and S34 at the running endpoint: a token opens one session, and no account sees anything of another."""

import asyncio
import json

from tests.hosted.deployment import make_token
from tests.hosted.neighbours import EVERY_ENTRY, NEIGHBOURS, Act, open_street
from tests.identity_tokens import NOW
from tests.redteam.cases import redteam

VICTIM, THIEF = NEIGHBOURS[0], NEIGHBOURS[1]
ONLY_ID, _ = EVERY_ENTRY[2]
"""An entry of the victim's under an id that nobody else has."""
SECRET = VICTIM.canary.encode()


class Break:
    """An account that has remembered, reported and exported, and another one that looks for it."""

    def __init__(self, street):
        self.thief = street.households[THIEF.number]
        acts = [("report", 1), ("append", 1), ("repeat", 1), ("ask_export",)]
        acts += [("propose", 1, 1), ("propose", 1, 2), ("decide", 1, "approve"), ("decide", 2, "approve")]
        for name, *arguments in acts:
            street.act(VICTIM.number, Act(name, tuple(arguments)), NOW)
        street.act(THIEF.number, Act("report", (2,)), NOW)
        self.thief.answers.clear()

    def by_id(self):
        self.thief.get(f"/v1/memory/{ONLY_ID}", f"/v1/memory/{ONLY_ID}/versions")

    def by_words(self):
        self.thief.get("/v1/memory", f"/v1/memory?query={VICTIM.canary}")

    def by_cursor(self):
        self.thief.get("/v1/events?cursor=e0", "/v1/runs/1/events?cursor=e0")

    def by_number(self):
        self.thief.get("/v1/runs", "/v1/runs/1", "/runs/1")

    def by_export(self):
        receipt = self.thief.ask_as_person("POST", "/v1/exports", {}).json()
        self.thief.get(f"/v1/exports/{receipt['export_id']}")

    def by_task(self):
        request = {"text": f"How does {VICTIM.canary} close its ledger?", "branch": "main"}
        self.thief.ask_as_run(2, "POST", "/v1/memory/bundle", request)

    def by_usage(self):
        self.thief.get("/v1/usage?since=2026-01-01&until=2027-01-01&group=familiar")


WAYS = {
    "by its id": Break.by_id,
    "by its words": Break.by_words,
    "by the cursor of its events": Break.by_cursor,
    "by the number of its run": Break.by_number,
    "by an export": Break.by_export,
    "by a task like its own": Break.by_task,
    "by its usage": Break.by_usage,
}


@redteam("S34", "what an account remembers, reports and exports is in no answer to another", attacks=WAYS)
def test_s34_nothing_of_an_account_is_told_to_another(siege, attack):
    with asyncio.Runner() as runner, open_street(runner) as street:
        breaking = Break(street)
        attack(breaking)
        return {"seen": any(SECRET in answer.body for answer in breaking.thief.answers)}


@redteam("S34", "an id that is another account's and one that nobody has are answered byte for byte the same")
def test_s34_nobody_learns_what_exists(siege):
    with asyncio.Runner() as runner, open_street(runner) as street:
        thief = Break(street).thief
        thief.get(f"/v1/memory/{ONLY_ID}", "/v1/memory/mem_0000000000000000")
        theirs, nobodys = (answer[1:] for answer in thief.answers)
        return {"learned": theirs != nobodys}


@redteam("S34", "a key under which one account has written is a new one for another")
def test_s34_a_repeated_key_repeats_ones_own_answer(siege):
    with asyncio.Runner() as runner, open_street(runner) as street:
        thief = Break(street).thief
        thief.report(1)
        answer = thief.ask_as_run(1, "POST", "/v1/runs/self/events", thief.make_events(), key="again-1")
        return {"refused for the other's sake": answer.status_code != 202}


@redteam("S34", "a decision of one account changes no entry of another, whatever their ids are")
def test_s34_nobody_decides_for_another(siege):
    with asyncio.Runner() as runner, open_street(runner) as street:
        thief = Break(street).thief
        thief.propose(2, 1)
        before = street.read_rows(besides=THIEF.number)
        thief.decide(1, "revoke")
        return {"revoked": street.read_rows(besides=THIEF.number) != before}


@redteam("S33", "a token that has opened a session opens no second one, however soon or often it comes again")
def test_s33_a_token_opens_one_session(siege):
    with asyncio.Runner() as runner, open_street(runner) as street:
        headers = {"Authorization": f"Bearer {make_token(NOW)}"}
        answers = [street.client.post("/v1/session", headers=headers, json={}) for _ in range(3)]
        tokens = {json.loads(answer.content).get("token") for answer in answers} - {None}
        return {"replayed": len(tokens) > 1}
