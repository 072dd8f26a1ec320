"""What the evidence says of proposals once a store has answered. The rest of it is tested with what it is built from."""

import pytest

from coven_action.core.memory.evidence import MemoryEvidence, settle_proposals


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((), None),
        (("pending",), "pending"),
        (("approved",), "approved"),
        (("rejected",), "rejected"),
        (("unknown",), "unknown"),
        (("kept",), "unknown"),
        (("approved", "pending"), "pending"),
        (("rejected", "approved"), "approved"),
        (("rejected", "pending", "approved"), "pending"),
        (("rejected", "pending", "lost"), "unknown"),
    ],
)
def test_what_a_store_said_of_the_proposals_is_told_by_what_leaves_most_to_be_done(states, status):
    evidence = MemoryEvidence(enabled=True, reason="on", approval_status="pending")

    settled = settle_proposals(evidence, states)

    assert settled == evidence.model_copy(update={"approval_status": status})
