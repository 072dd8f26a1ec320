"""S12, S21, S31 and X3: what a run leaves behind, and what goes wrong on the way."""

import io
import json
import os
import tarfile
import threading
import time
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

from coven_action.core.contract.archive_reading import read_program
from coven_action.core.contract.releases import ReleaseArchive
from coven_action.core.records import canonical_json
from coven_action.errors import Error, RuntimeFault
from tests.redteam.cases import redteam
from tests.redteam.obedient_agent import RESULT, write_steps
from tests.redteam.siege import CONFIGURATION
from tests.scenario import run_process

MEND = {"do": "write", "path": "src/tax.py", "text": "mended = True\n"}


@redteam("S12", "a process that outlives the agent by forking twice is ended before its result is read")
def test_s12_a_daemon_is_ended(siege):
    marker = siege.folder / "written-later"
    siege.attack(
        MEND, {"do": "linger", "path": str(marker), "text": "x", "after": 0.5}, runtime=run_process, publishes=False
    )
    deadline = time.monotonic() + 1.0
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return {"written": marker.exists()}


def rewrite(run, name, **changes):
    document = {"plan.json": run.planned, "outcome.json": run.outcome}[name].model_copy(update=changes)
    (run.documents / name).write_text(canonical_json(document.model_dump(mode="json")))


def rewrite_words(run):
    rewrite(run, "outcome.json", hand_off=run.outcome.hand_off.model_copy(update={"title": "Forged", "body": "Forged"}))


def rewrite_plan(run):
    work = run.planned.work
    rewrite(run, "plan.json", work=work.model_copy(update={"labels": ("Forged",)}))
    rewrite(run, "outcome.json", plan_sha256=run.digest("plan.json"))


def rewrite_limits(run):
    work = run.planned.work
    target = work.target.model_copy(update={"branch": "coven/issue-999", "why": "Forged"})
    rewrite(run, "plan.json", work=work.model_copy(update={"target": target}))
    rewrite(run, "outcome.json", plan_sha256=run.digest("plan.json"))


REWRITES = {
    "the agent's words": rewrite_words,
    "the labels of the plan": rewrite_plan,
    "the branch of the plan": rewrite_limits,
}


@redteam(
    "S12", "a document that is rewritten after its stage is not the one whose digest was handed over", attacks=REWRITES
)
def test_s12_rewritten_documents_are_noticed(siege, attack):
    aftermath = siege.attack(MEND, before_publish=attack)
    labels = [label.name for request in aftermath.scene.pull_requests for label in request.issue.labels]
    shown = "".join(aftermath.texts().values()) + "".join(labels) + "".join(aftermath.scene.branches())
    return {"believed": "Forged" in shown or "999" in aftermath.scene.branches().__str__()}


FAILING = CONFIGURATION + "verify: [{name: tests, run: 'exit 1'}]\n"


def pass_all(document):
    for result in document["results"]:
        result["result"] |= {"exit_code": 0, "fault": ""}


def pass_and_forget_the_base(document):
    pass_all(document)
    for result in document["results"]:
        result["base"] = None


def forge_checks(change):
    def forge(run):
        path = run.documents / "checks.json"
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document))

    return forge


FORGED_CHECKS = {
    "another exit code": forge_checks(pass_all),
    "another exit code, and no base to compare with": forge_checks(pass_and_forget_the_base),
}


@redteam("S31", "checks that are rewritten after they were observed are no success", attacks=FORGED_CHECKS)
def test_s31_forged_checks_are_no_success(siege, attack):
    aftermath = siege.attack(MEND, configuration=FAILING, before_publish=attack)
    conclusions = {check.conclusion for check in aftermath.scene.check_runs}
    return {"called a success": "success" in {*conclusions, aftermath.run.outputs.get("conclusion")}}


PLACED = {
    "a link to the plan": lambda siege: [
        {"do": "write", "path": ".coven/handoff/x", "text": ""},
        {"do": "symlink", "path": ".coven/handoff/pull-request.md", "to": "@{documents}/plan.json"},
    ],
    "a link to a secret": lambda siege: [
        {"do": "write", "path": ".coven/handoff/x", "text": ""},
        {"do": "symlink", "path": ".coven/handoff/pull-request.md", "to": str(siege.folder / "private.md")},
    ],
    "the folder a link": lambda siege: [
        {"do": "write", "path": ".coven/x", "text": ""},
        {"do": "symlink", "path": ".coven/handoff", "to": str(siege.folder / "private")},
    ],
    "the folder above a link": lambda siege: [
        {"do": "symlink", "path": ".coven", "to": str(siege.folder / "private-above")}
    ],
}


@redteam("X3", "a hand-off that is a link, or lies behind one, is not read", attacks=PLACED)
def test_x3_links_are_not_read(siege, attack):
    for name in ("private.md", "private/pull-request.md", "private-above/handoff/pull-request.md"):
        (siege.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (siege.folder / name).write_text("PRIVATE words\n\nPRIVATE words of the runner")
    aftermath = siege.attack(MEND, *attack(siege))
    shown = "".join(aftermath.texts().values())
    return {"read": "PRIVATE" in shown or "configuration_sha256" in shown or "coven-action/plan" in shown}


PIPES = {
    "the hand-off": [{"do": "pipe", "path": ".coven/handoff/pull-request.md"}],
    "the result": [{"do": "withhold"}, {"do": "pipe", "path": "@{run}/result.json"}],
}


@redteam("X3", "a pipe in the place of a file does not hold us", attacks=PIPES)
def test_x3_pipes_do_not_block(siege, attack):
    issue = siege.scene.open_issue(body=write_steps(MEND, *attack))
    run = siege.start(siege.scene.label(issue))
    run.plan()
    worker = threading.Thread(target=run.work, daemon=True)
    worker.start()
    seen = False
    while worker.is_alive() and not seen:
        worker.join(0.05)
        seen = has_reader(siege.folder)
    for path in find_pipes(siege.folder) if seen else ():
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    worker.join(20)
    return {"blocked": seen}


def find_pipes(folder):
    return [Path(path, name) for path, _, names in os.walk(folder) for name in names if Path(path, name).is_fifo()]


def has_reader(folder):
    """Whether somebody waits at a pipe for words: opening it for writing succeeds only then."""
    for path in find_pipes(folder):
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            return True
    return False


@redteam("X3", "a link in the place of the result is no result")
def test_x3_a_linked_result_is_none(siege):
    place = siege.folder / "elsewhere.json"
    place.write_text(canonical_json({**RESULT, "summary": "from elsewhere"}))
    aftermath = siege.attack(
        MEND, {"do": "withhold"}, {"do": "symlink", "path": "@{run}/result.json", "to": str(place)}
    )
    return {"believed": aftermath.pushed}


SPARSE = 96 * 1024 * 1024
FILES = {
    "the hand-off": [{"do": "sparse", "path": ".coven/handoff/pull-request.md", "size": SPARSE}],
    "the result": [{"do": "withhold"}, {"do": "sparse", "path": "@{run}/result.json", "size": SPARSE}],
}


@redteam("S21", "a giant file that we read is not read beyond its limit", attacks=FILES)
def test_s21_giant_files_are_not_read(siege, attack):
    tracemalloc.start()
    try:
        siege.attack(MEND, *attack, publishes=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return {"read": peak > SPARSE // 2}


@redteam("S21", "a change beyond the limits is not published", attacks=["bytes", "files"])
def test_s21_giant_changes_are_refused(siege, attack):
    steps = {
        "bytes": [{"do": "sparse", "path": "giant.bin", "size": 8 * 1024 * 1024}],
        "files": [{"do": "write", "path": f"many/{number}", "text": "x"} for number in range(120)],
    }
    return {"published": siege.judge(*steps[attack]).passed}


def pack(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, facts in (*members, ("coven-code", {})):
            member = tarfile.TarInfo(name)
            for fact, value in facts.items():
                setattr(member, fact, value)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"echo"))
    return buffer.getvalue(), "tar.gz"


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in (*names, "coven-code"):
            archive.writestr(name, b"echo")
    return buffer.getvalue(), "zip"


ARCHIVES = {
    "a path that leads out": pack(("../../etc/cron.d/x", {})),
    "an absolute path": pack(("/etc/cron.d/x", {})),
    "a set-user-id program": pack(("tool", {"mode": 0o4755})),
    "a name twice": pack(("coven-code", {})),
    "a zip's path that leads out": zipped("../x"),
    "a zip's path with backslashes": zipped("..\\x"),
}


@redteam("S21", "an archive with a member that would land elsewhere is refused whole", attacks=ARCHIVES)
def test_s21_archives_stay_in_their_folder(siege, attack):
    data, kind = attack
    archive = ReleaseArchive("0.0.0", "linux-x86_64", f"x.{kind}", kind, "coven-code", "0" * 64)
    try:
        list(read_program(io.BytesIO(data), archive, max_bytes=LIMIT))
    except RuntimeFault:
        return {"accepted": False}
    return {"accepted": True}


@redteam(
    "S21", "an archive that unpacks to more than is allowed is refused before it is unpacked", attacks=["tar", "zip"]
)
def test_s21_archives_do_not_explode(siege, attack):
    size = 64 * 1024 * 1024
    buffer = io.BytesIO()
    if attack == "tar":
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
            member = tarfile.TarInfo("coven-code")
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    else:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("coven-code", bytes(size))
    kind = {"tar": "tar.gz", "zip": "zip"}[attack]
    release = ReleaseArchive("0.0.0", "linux-x86_64", f"x.{kind}", kind, "coven-code", "0" * 64)
    taken = 0
    try:
        for piece in read_program(io.BytesIO(buffer.getvalue()), release, max_bytes=LIMIT):
            taken += len(piece)
    except RuntimeFault:
        pass
    return {"unpacked": taken > LIMIT}


LIMIT = 1024 * 1024

FAULTS = {
    "no permission": {"method": "GET", "path_regex": "/permission"},
    "no comment": {"method": "POST", "path_regex": "/comments$"},
    "no base": {"method": "POST", "path_regex": "git-upload-pack$"},
    "no push": {"method": "POST", "path_regex": "git-receive-pack$"},
    "no pull request": {"method": "POST", "path_regex": "/pulls$"},
    "no check": {"method": "POST", "path_regex": "/check-runs$"},
    "no last word": {"method": "PATCH", "path_regex": "/comments/"},
}


@redteam("S31", "an error of GitHub at any step ends as a failure", attacks=FAULTS)
def test_s31_an_error_of_github_is_no_success(siege, attack):
    issue = siege.scene.open_issue(body=write_steps(MEND))
    event = siege.scene.label(issue)
    siege.github.faults.add(**attack, status=503, times=500)
    siege.monkeypatch.setattr("coven_action.adapters.git.publication.RETRY_SECONDS", 0.001)
    run = siege.start(event)
    try:
        code = run.finish()
    except (Error, AttributeError):
        return {"success": False}
    return {"success": code == 0 or run.outputs.get("conclusion") in {"success", "neutral"}}


BROKEN = {
    "no result": [MEND, {"do": "withhold"}],
    "half a result": [
        MEND,
        {"do": "withhold"},
        {"do": "write", "path": "@{run}/result.json", "text": '{"contract_version": "3"'},
    ],
    "another version": [MEND, {"do": "tell", "contract_version": "99"}],
    "a failure": [MEND, {"do": "tell", "status": "failure", "exit_reason": "infra_error"}],
}


@redteam("S31", "a runtime that breaks off is told as a failure of `run`", attacks=BROKEN)
def test_s31_a_broken_runtime_is_no_success(siege, attack):
    aftermath = siege.attack(*attack)
    said = aftermath.texts().get("comment 0", "")
    return {"success": aftermath.code == 0 or "run" not in said or aftermath.pushed}
