"""kill -9 at random moments: nothing that was acknowledged is lost, nothing is doubled, and the chain is whole."""

import pysqlite3
import pytest

from coven_action.core.endpoint.audit_chain import ChainBroken
from tests.hosted.killing import Ledger, Siege, Zygote, compare_account, start_issuer


@pytest.fixture
def siege(tmp_path):
    spawner = Zygote()
    with start_issuer() as issuer:
        yield Siege(tmp_path, issuer, spawner, seed=20261121)
    spawner.close()


def test_a_server_that_is_killed_at_random_moments_loses_and_doubles_nothing(siege):
    siege.run(20)

    assert siege.acknowledged > 100
    assert siege.resent > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_kills_change_nothing_of_that(siege):
    siege.run(200)

    assert siege.acknowledged > 1000


NOTE = "(SELECT max(sequence) FROM run_events WHERE type='note')"
TAMPERED = {
    "an event is gone": f"DELETE FROM run_events WHERE sequence={NOTE}",
    "an event is another": f'UPDATE run_events SET data=\'{{"text": "x"}}\' WHERE sequence={NOTE}',
    "an event is there twice": f"UPDATE run_events SET data=(SELECT data FROM run_events WHERE type='note')"
    f" WHERE sequence={NOTE}",
    "an event nobody sent": "UPDATE run_events SET type='note', data='{\"text\": \"x\"}' WHERE sequence=1",
    "the newest number is another": "UPDATE heads SET event_sequence=event_sequence+1",
    "the log was rewritten": "UPDATE audit SET subject='x' WHERE sequence=2",
    "the log was cut": "DELETE FROM audit WHERE sequence=(SELECT max(sequence) FROM audit)",
    "an end is lost": "UPDATE runs SET state=CASE state WHEN 'done' THEN 'running' ELSE 'done' END",
    "an event was counted twice": "UPDATE meters SET amount=amount+1 WHERE measure='events'",
    "a run was not counted": "DELETE FROM meters WHERE measure='runs'",
}


def compare_anew(siege, connection):
    for account, ledger in siege.ledgers.items():
        compare_account(connection, siege.tenants[account], Ledger(ledger.sequences, ledger.finished))


def test_every_kind_of_damage_is_noticed(siege):
    siege.run(3)
    connection = pysqlite3.connect(str(siege.data), isolation_level=None)
    compare_anew(siege, connection)

    unnoticed = []
    for what, statement in TAMPERED.items():
        connection.execute("BEGIN")
        assert connection.execute(statement).rowcount > 0
        try:
            compare_anew(siege, connection)
        except (AssertionError, ChainBroken):
            connection.execute("ROLLBACK")
        else:
            unnoticed.append(what)
    connection.close()

    assert unnoticed == []
