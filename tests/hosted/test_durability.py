"""kill -9 at random moments: nothing that was acknowledged is lost, nothing is doubled, and the chain is whole."""

import pytest

from tests.hosted.killing import Siege, Zygote, start_issuer


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
