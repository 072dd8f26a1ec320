"""What docs/hosted.md has an operator practise, on a real server: settings in a file, a copy, a restore, another key."""

import json
import urllib.request

import pytest
from click.testing import CliRunner

from coven_action.cli.main import cli
from coven_action.core.endpoint.caps import TIERS
from tests.cli.test_serve import Running

SETTINGS = """
data = "{data}"
port = 0

[tiers.open]
tasks_per_day = 7
requests_per_minute = 60
"""


def run(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def ask_metrics(server):
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_an_endpoint_is_configured_copied_restored_and_given_another_key(tmp_path):
    data, settings, copies = tmp_path / "coven.db", tmp_path / "coven.toml", tmp_path / "copies"
    settings.write_text(SETTINGS.format(data=data))
    copies.mkdir()
    run("enrol", "--data", data, "--account", "acme", "--account-id", "501", "--memory")

    server = Running("--config", settings)
    token = server.process.stdout.readline().rpartition(" ")[2].strip()
    person = {"Authorization": f"Bearer {token}"}
    copied = run("backup", "--data", data, copies)
    first_key = server.ask("/meta")[1]["signing_key"]["key_id"]
    statuses = [server.ask("/v1/runs", **person)[0] for _ in range(21)]
    assert (statuses[0], statuses[-1]) == (200, 429), "the rate of the file holds"
    assert server.ask("/v1/audit", **person)[0] == 200
    assert "coven_read_only 0.0" in ask_metrics(server)
    assert server.stop()[0] == 0

    assert "tasks-per-day            7" in run("admin", "caps", "--data", data, "--account", "acme")
    (copy,) = copies.glob("*.db")
    assert str(copy) in copied
    restored = run("restore", copy, "--data", data)
    assert "memory is off until an administrator turns it on" in restored
    run("admin", "rotate-key", "--data", data)

    # Without the file: what was configured holds no more.
    server = Running("--data", data, "--port", 0)
    meta = server.ask("/meta")[1]
    rows = server.ask("/v1/audit", **person)[1]["entries"]
    assert server.stop()[0] == 0
    assert [key["key_id"] for key in meta["former_signing_keys"]] == [first_key]
    assert meta["signing_key"]["key_id"] != first_key
    assert [row["action"] for row in rows][-3:] == ["audit.reseal", "policy.put", "signing-key.rotate"]
    assert f"tasks-per-day            {TIERS['open'].tasks_per_day}" in run(
        "admin", "caps", "--data", data, "--account", "acme"
    )
    export = tmp_path / "acme.jsonl"
    export.write_text(run("audit", "export", "--data", data, "--account", "acme"))
    verified = run("audit", "verify", export, "--tenant", 1, "--key", meta["signing_key"]["public_key"])
    assert "signature holds" in verified
    assert json.loads(export.read_text().splitlines()[-1])["head"]["resealed"] > 0
