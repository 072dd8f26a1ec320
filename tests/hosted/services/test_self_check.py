"""An account's data is what was once written, or it is said what is not."""

import pytest
from sqlalchemy import update

from coven_action.hosted.services.self_check import PAGE, DataBroken, check_account
from coven_action.hosted.store import schema
from tests.hosted.databases import ON_BOTH
from tests.hosted.memory_world import put_entry

pytestmark = ON_BOTH


def test_what_was_written_is_whole(deployment, tenant):
    deployment.write(tenant, lambda transaction: put_entry(transaction, "conventions/rounding", "Round half even."))

    checked = deployment.read(tenant, check_account)

    assert (checked.tenant_id, checked.texts) == (tenant, 1)
    assert checked.audit_seq > 0


def test_a_text_that_was_changed_is_found(deployment, tenant):
    deployment.write(tenant, lambda transaction: put_entry(transaction, "conventions/rounding", "Round half even."))
    statement = update(schema.memory_versions).values(text="Round half up.")
    deployment.write(tenant, lambda transaction: transaction.execute(statement))

    with pytest.raises(DataBroken, match="text"):
        deployment.read(tenant, check_account)


@pytest.mark.parametrize("rows", [PAGE - 1, PAGE, PAGE + 1])
def test_a_log_of_several_pages_is_read_to_its_end(deployment, tenant, rows):
    def work(transaction):
        for _ in range(rows - transaction.heads.audit_sequence):
            transaction.append_audit(actor="a", action="b", subject="c", detail={})

    deployment.write(tenant, work)

    assert deployment.read(tenant, check_account).audit_seq == rows


def test_an_account_that_is_none_is_said(deployment, tenant):
    with pytest.raises(DataBroken, match="99"):
        deployment.read(99, check_account)
