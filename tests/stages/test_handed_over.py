"""What `run` hands over can be read by others before it is judged: it holds no secret, and the refusal is told all the same."""

import json

import pytest

from coven_action.core.redaction.encodings import KIND as REGISTERED
from tests.scenario import MENDED, Run, Scene, ScriptedRuntime

TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
MODEL_KEY = "key-of-the-model-0123456789"
FAULT = {"status": "failure", "exit_reason": "infra_error"}


def _writes(hand_off: str = "", **files: str):
    def work(workspace):
        for name, text in {"src__tax.py": MENDED, **files}.items():
            path = workspace / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if hand_off:
            (workspace / ".coven/handoff").mkdir(parents=True)
            (workspace / ".coven/handoff/pull-request.md").write_text(hand_off)

    return work


def _start(scene: Scene, work, result=None) -> Run:
    run = scene.start(scene.label(scene.open_issue()), runtime=ScriptedRuntime(work, result or {}), model_key=MODEL_KEY)
    run.plan()
    run.work()
    return run


def _list_handed_over(run: Run) -> dict[str, str]:
    names = ("outcome.json", "changes.bundle", "changes.patch", "agent.log")
    paths = [run.documents / name for name in names]
    return {path.name: path.read_bytes().decode("utf-8", "replace") for path in paths if path.exists()}


# What the familiar leaves in its change -> the kind of secret.
CHANGES = {
    "a line of known form": ({"key.txt": f"token = {TOKEN}\n"}, "GitHub token"),
    "behind a line separator": ({"key.txt": f"harmless\u2028{TOKEN}\n"}, "GitHub token"),
    "a file's name": ({f"docs__{TOKEN}.md": "x\n"}, "GitHub token"),
    "the model's key": ({"key.txt": f"{MODEL_KEY}\n"}, REGISTERED),
}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(("files", "kind"), CHANGES.values(), ids=CHANGES)
def test_a_change_that_holds_a_secret_is_not_handed_over_and_refused_with_its_patch(scene, files, kind):
    run = _start(scene, _writes(**files))
    handed = _list_handed_over(run)

    assert set(handed) == {"outcome.json", "changes.patch", "agent.log"}
    assert not [name for name, text in handed.items() if TOKEN in text or MODEL_KEY in text]
    assert run.outcome.secrets == (kind,)

    assert run.publish() == 0
    refused = [(verdict.step, verdict.finding) for verdict in run.evidence.verdicts if verdict.refused]
    assert refused == [("secrets", f"what looks like a secret was found: {kind}")]
    assert (run.evidence.ending, scene.branches()) == ("refused", {})
    rows = {row.name: row.text for row in run.evidence.rows}
    assert rows["what was done"] == f"what was changed was not looked at; secrets: {refused[0][1]}"
    assert MENDED.splitlines()[-1].strip() in run.read("changes.patch").decode()
    comment = scene.comments(scene.repository.issues[1])[0].body
    assert "may not be published: **secrets**" in comment
    assert "changes.patch" in comment


@pytest.mark.parametrize("words", [f"Mend {TOKEN}\n\nDone.", f"Mend it\n\nI used {TOKEN}."])
def test_words_for_the_pull_request_are_handed_over_covered_and_refused_all_the_same(scene, words):
    run = _start(scene, _writes(words))

    assert "changes.bundle" in _list_handed_over(run)
    assert TOKEN not in _list_handed_over(run)["outcome.json"]
    assert run.publish() == 0
    assert [verdict.step for verdict in run.evidence.verdicts if verdict.refused] == ["secrets"]
    assert scene.branches() == {}


def test_other_words_are_handed_over_covered_and_refuse_nothing(scene):
    run = _start(scene, _writes(), {"summary": f"I found {TOKEN}."})

    assert TOKEN not in _list_handed_over(run)["outcome.json"]
    assert run.outcome.secrets == ()
    assert run.publish() == 0
    assert run.evidence.ending == "published"


def test_words_for_a_change_that_was_never_made_make_none_of_it(scene):
    def work(workspace):
        (workspace / ".coven/handoff").mkdir(parents=True)
        (workspace / ".coven/handoff/pull-request.md").write_text(f"Mend {TOKEN}\n\nDone.")

    run = _start(scene, work)

    assert TOKEN not in _list_handed_over(run)["outcome.json"]
    assert run.publish() == 0
    assert run.evidence.ending == "nothing-changed"


def test_a_line_about_memory_that_holds_a_secret_is_not_handed_over(scene):
    def work(workspace):
        _writes()(workspace)
        line = {"key": "a/b", "kind": "fact", "text": f"It is {TOKEN}.", "citations": [], "why": "x"}
        (workspace / ".coven/handoff").mkdir(parents=True)
        (workspace / ".coven/handoff/memory.jsonl").write_text(json.dumps(line))

    run = _start(scene, work)

    assert TOKEN not in _list_handed_over(run)["outcome.json"]
    assert [(fault.line, fault.reason) for fault in run.outcome.memory_hand_off.faults] == [(1, "secret")]


@pytest.mark.parametrize("secret", [TOKEN, MODEL_KEY])
def test_what_was_done_before_a_fault_is_kept_although_it_holds_a_secret(scene, secret):
    run = _start(scene, _writes(**{"key.txt": f"{secret}\n"}), FAULT)

    assert "changes.bundle" not in _list_handed_over(run)
    assert run.publish() == 1
    assert run.evidence.ending == "fault"
    kept = run.read("changes.patch").decode()
    assert MENDED.splitlines()[-1].strip() in kept
    assert secret not in kept


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "work", [_writes(**{"key.txt": f"{TOKEN}\n"}), _writes(f"Mend {TOKEN}\n\nDone.")], ids=["the change", "the title"]
)
def test_publish_finds_what_a_run_that_was_taken_over_does_not(scene, monkeypatch, work):
    with monkeypatch.context() as taken_over:
        taken_over.setattr("coven_action.stages.run.find_kinds", lambda *_: frozenset())
        run = _start(scene, work)
    assert "changes.bundle" in _list_handed_over(run)

    assert run.publish() == 0
    assert [verdict.step for verdict in run.evidence.verdicts if verdict.refused] == ["secrets"]
    assert scene.branches() == {}
    assert TOKEN not in run.read("changes.patch").decode()
