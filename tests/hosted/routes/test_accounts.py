"""Audit, exports and usage over the real application."""

import base64
import itertools
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from coven_action.core.endpoint.audit_chain import build_head_message
from coven_action.core.endpoint.export_format import TABLES, verify_export
from coven_action.hosted.store.sqlite import STREAMS
from tests.hosted.databases import ON_BOTH_SLOWLY
from tests.hosted.deployment import ADMIN_TOKEN, make_token, open_session
from tests.hosted.routes.test_runs import finish

pytestmark = ON_BOTH_SLOWLY
_numbers = itertools.count(1)


def ask(client, method, path, document, admin, **headers):
    sent = {**admin, "Idempotency-Key": f"admin-{next(_numbers)}", **headers}
    return client.request(method, path, json=document, headers=sent)


def work(client, clock, run_id="1"):
    session = open_session(client, clock(), run_id=run_id)
    session.report()
    session.append("hello", "world")
    finish(session)
    return session


def export(client, admin):
    receipt = ask(client, "POST", "/v1/exports", {}, admin).json()
    answer = client.get(f"/v1/exports/{receipt['export_id']}", headers=admin)
    assert answer.status_code == 200, answer.text
    return answer.content.splitlines(keepends=True)


def test_the_audit_log_is_shown_page_by_page(client, clock, admin):
    work(client, clock)

    first = client.get("/v1/audit", headers=admin, params={"limit": 2}).json()
    rest = client.get("/v1/audit", headers=admin, params={"after": first["next"]}).json()

    actions = [entry["action"] for entry in (*first["entries"], *rest["entries"])]
    assert actions == ["repository.enrol", "session.open", "run.admission", "events.append", "run.finish"]
    assert rest["next"] is None


def test_the_head_is_signed_by_the_deployment(client, clock, admin, deployment, tenant):
    work(client, clock)

    head = client.get("/v1/audit/head", headers=admin).json()

    key = Ed25519PublicKey.from_public_bytes(deployment.signer.public_key)
    key.verify(base64.b64decode(head["signature"]), build_head_message(tenant, head["seq"], head["head"]))


def test_no_word_of_a_run_stands_in_the_audit_log(client, clock, admin):
    session = open_session(client, clock())
    session.report()
    session.append("canary-word")

    assert "canary-word" not in client.get("/v1/audit", headers=admin).text


def test_an_export_holds_everything_and_can_be_checked_without_the_endpoint(client, clock, admin):
    work(client, clock)

    lines = export(client, admin)

    header, manifest = verify_export(lines)
    assert (header.account_id, header.account_login) == (501, "acme")
    assert set(manifest.tables) == set(TABLES)
    assert manifest.tables["runs"].rows == 1
    assert manifest.tables["run_events"].rows == 4
    assert b"tenant_id" not in b"".join(lines)


def test_an_export_is_one_moment_however_many_rows_it_has(client, clock, admin, mocker):
    mocker.patch("coven_action.hosted.services.exports.PAGE", 2)
    for run_id in ("1", "2", "3"):
        work(client, clock, run_id)

    _, manifest = verify_export(export(client, admin))

    assert manifest.tables["run_events"].rows == manifest.event_sequence == 12


def test_an_export_nobody_asked_for_is_not_found(client, admin):
    assert client.get("/v1/exports/exp_0", headers=admin).status_code == 404


def test_another_accounts_export_is_not_found(client, clock, admin, other_tenant):
    mine = {**admin, "Coven-Tenant": "acme"}
    receipt = ask(client, "POST", "/v1/exports", {}, mine).json()

    answer = client.get(f"/v1/exports/{receipt['export_id']}", headers={**admin, "Coven-Tenant": "globex"})

    assert answer.status_code == 404


def test_usage_is_summed_as_it_is_asked_for(client, clock, admin):
    work(client, clock, "1")
    clock.advance(days=1)
    work(client, clock, "2")
    days = {"since": "2026-11-21", "until": "2026-11-22"}

    by_day = client.get("/v1/usage", headers=admin, params=days).json()["rows"]
    in_all = client.get("/v1/usage", headers=admin, params={**days, "group": "repo,familiar"}).json()["rows"]

    events = [(row["group"]["day"], row["amount"]) for row in by_day if row["measure"] == "events"]
    assert events == [("2026-11-21", 2), ("2026-11-22", 2)]
    sums = {row["measure"]: (row["group"], row["amount"]) for row in in_all if row["group"]["familiar"]}
    assert sums["runs"] == ({"repo": 1001, "familiar": "sage"}, 2)
    assert sums["input_tokens"][1] == 10


@pytest.mark.parametrize("parameters", [{"group": "owner"}, {"since": "yesterday"}, {"until": ""}])
def test_usage_that_cannot_be_grouped_so_is_refused(client, admin, parameters):
    answer = client.get("/v1/usage", headers=admin, params={"since": "2026-11-21", "until": "2026-11-21", **parameters})

    assert (answer.status_code, answer.json()["code"]) == (422, "malformed-request")


@pytest.mark.parametrize(
    "path", ["/v1/audit", "/v1/audit/head", "/v1/exports/exp_1", "/v1/usage?since=2026-11-21&until=2026-11-21"]
)
def test_a_run_sees_none_of_it(client, clock, path):
    assert open_session(client, clock()).send("GET", path).status_code == 403


def test_a_suspended_repository_opens_no_session_until_it_is_released(client, clock, admin):
    ask(client, "POST", "/v1/repositories/1001:suspend", {"reason": "looking into it"}, admin)
    refused = client.post("/v1/session", headers={"Authorization": f"Bearer {make_token(clock())}"}, json={})
    ask(client, "POST", "/v1/repositories/1001:release", {}, admin)

    assert (refused.status_code, refused.json()["code"]) == (403, "repository-suspended")
    open_session(client, clock())


def test_a_repository_nobody_enrolled_is_not_found(client, admin):
    assert ask(client, "POST", "/v1/repositories/7:suspend", {}, admin).status_code == 404


def test_an_administrator_enrols_a_repository(client, clock, admin):
    document = {
        "repository_id": 1002, "owner": "acme", "name": "shop", "visibility": "private", "default_branch": "main",
    }  # fmt: skip
    answer = ask(client, "PUT", "/v1/tenants/self/repositories", document, admin)

    assert answer.json() == {"repository_id": 1002, "status": "enrolled"}
    assert open_session(client, clock(), repository_id="1002").document["repository_id"] == 1002


def test_a_new_name_joins_the_names_it_had(client, clock, admin, deployment, tenant):
    from sqlalchemy import select

    from coven_action.hosted.store import schema

    document = {
        "repository_id": 1001, "owner": "acme", "name": "invoices", "visibility": "private", "default_branch": "main",
    }  # fmt: skip
    clock.advance(days=1)
    ask(client, "PUT", "/v1/tenants/self/repositories", document, admin)

    names = deployment.read(tenant, lambda reading: reading.fetch_all(select(schema.repository_names.c.name)))
    assert [row.name for row in names] == ["billing", "invoices"]


def test_the_local_administrator_names_the_account_where_there_are_several(client, other_tenant):
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    answers = [
        client.get("/v1/audit", headers={**headers, "Coven-Tenant": name} if name else headers)
        for name in ("", "nobody", "acme", str(other_tenant))
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 200, 200]
    assert answers[0].json()["code"] == "tenant-missing"


def test_an_export_of_a_person_is_written_down(client, clock, admin):
    export(client, admin)

    entries = client.get("/v1/audit", headers=admin).json()["entries"]

    assert [(entry["actor"], entry["action"]) for entry in entries][-1] == ("admin", "export.request")
    assert json.dumps(entries)


def test_an_export_that_there_is_no_connection_for_is_refused_before_anything_is_sent(
    client, admin, deployment, tenant
):
    receipt = ask(client, "POST", "/v1/exports", {}, admin).json()
    opened = [deployment.store.stream(tenant, lambda reading: iter([1, 2])) for _ in range(STREAMS)]
    for each in opened:
        next(each)

    answer = client.get(f"/v1/exports/{receipt['export_id']}", headers=admin)

    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "overloaded", "1")
    opened[0].close()
    assert client.get(f"/v1/exports/{receipt['export_id']}", headers=admin).status_code == 200
    opened[1].close()
