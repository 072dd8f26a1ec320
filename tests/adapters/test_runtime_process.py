"""Running programs for real: whatever they do, they end, and nothing of theirs is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coven_action.adapters import runtime_process
from coven_action.adapters.runtime_process import parse_report, run_process
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.errors import RuntimeFault

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel adopts orphans for us on Linux only")
PATH = os.environ.get("PATH", os.defpath)
QUICK = {"seconds": 60, "grace_seconds": 0.2, "kill_seconds": 10}


def foreign_children():
    """Our children of another session: what a lost supervisor would have left us."""
    return runtime_process._find_foreign_children(Path("/proc"))


class Ended(Exception):
    """Raised by a writer that has seen enough."""


def run(script, folder, *, environment=None, write=None, proc=Path("/proc"), **limits):
    output = bytearray()
    report = run_process(
        ["sh", "-c", script],
        environment={"PATH": PATH, **(environment or {})},
        cwd=folder,
        limits=ProcessLimits(**{**QUICK, **limits}),
        write=write or output.extend,
        proc=proc,
    )
    return report, bytes(output)


def is_alive(pid_file):
    """Whether the process that wrote its number into a file is still there, and not only as a zombie."""
    try:
        state = Path(f"/proc/{pid_file.read_text(encoding='ascii').strip()}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def test_exit_code_output_and_environment_are_the_programs_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "canary")
    report, output = run("env; pwd; echo oops >&2; exit 3", tmp_path, environment={"GREETING": "hello"})

    assert (report.exit_code, report.signal, report.timed_out, report.supervised) == (3, None, False, True)
    assert b"GREETING=hello" in output
    assert b"canary" not in output
    assert str(tmp_path).encode() in output
    assert b"oops\n" in output
    assert b"oops" not in report.stdout_tail
    assert report.output_bytes == len(output)
    assert (report.killed_orphans, report.survivors, report.note) == (0, False, "")
    assert report.duration_seconds > report.cpu_seconds > 0


@LINUX
def test_a_tree_that_leaves_its_bounds_is_ended(tmp_path):
    looks = []

    def within_bounds(root):
        looks.append(root)
        return (tmp_path / "children").exists() is False

    report = run_process(
        ["sh", "-c", f"sleep 600 & echo up; : > {tmp_path}/children; wait"],
        environment={"PATH": PATH},
        cwd=tmp_path,
        limits=ProcessLimits(**QUICK),
        write=len,
        within_bounds=within_bounds,
    )

    assert looks
    assert len(set(looks)) == 1
    assert report.signal == signal.SIGTERM
    assert (report.timed_out, report.output_flooded, report.survivors) == (False, False, False)


def test_a_tree_within_its_bounds_ends_by_itself(tmp_path):
    looks = []

    report = run_process(
        ["sh", "-c", "sleep 0.5; exit 4"],
        environment={"PATH": PATH},
        cwd=tmp_path,
        limits=ProcessLimits(**QUICK),
        write=len,
        within_bounds=lambda root: looks.append(root) or True,
    )

    assert report.exit_code == 4
    assert looks


def test_stdin_is_empty_and_nothing_else_is_open(tmp_path):
    report, output = run("cat; ls /proc/self/fd | wc -l", tmp_path)

    # 0, 1, 2 and the folder that ls itself reads
    assert (report.exit_code, output.strip()) == (0, b"4")


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("PIPE", 13)])
def test_a_signal_that_ends_the_program_is_reported(tmp_path, name, number):
    report, _ = run(f"kill -{name} $$", tmp_path)

    assert (report.exit_code, report.signal) == (None, number)


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["/nowhere/at/all"], "runtime-not-installed"),
        (["no-such-program-anywhere"], "runtime-not-installed"),
        (["/"], "runtime-not-installed"),
        (["sh", "nul\0"], "runtime-not-started"),
        (["sh", "x" * 3_000_000], "runtime-not-started"),
    ],
)
def test_a_program_that_cannot_be_started_is_a_fault_with_its_reason(tmp_path, argv, code):
    with pytest.raises(RuntimeFault, match="cannot be started") as caught:
        run_process(argv, environment={"PATH": PATH}, cwd=tmp_path, limits=ProcessLimits(**QUICK), write=bytes)

    assert caught.value.code == code


@pytest.mark.parametrize(("mode", "code"), [(0o644, "runtime-not-installed"), (0o755, "runtime-not-started")])
def test_a_file_that_is_no_program_is_a_fault(tmp_path, mode, code):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF and nothing more")
    program.chmod(mode)

    with pytest.raises(RuntimeFault) as caught:
        run_process([str(program)], environment={}, cwd=tmp_path, limits=ProcessLimits(**QUICK), write=bytes)

    assert caught.value.code == code


def test_a_missing_working_directory_is_said_to_be_that(tmp_path):
    with pytest.raises(RuntimeFault, match="working directory"):
        run("true", tmp_path / "missing")


def test_a_supervisor_that_cannot_be_started_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(RuntimeFault, match="supervisor"):
        run("true", tmp_path)


def test_a_supervisor_that_dies_at_once_is_a_lost_one(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_process, "SUPERVISOR", tmp_path / "missing.py")
    report, _ = run("true", tmp_path)

    assert (report.supervised, report.exit_code) == (False, None)


@pytest.mark.parametrize("script", ["sleep 100", "sh -c 'sleep 100' & wait", "kill -STOP $$"])
def test_the_wall_clock_ends_it(tmp_path, script):
    report, _ = run(script, tmp_path, seconds=0.3)

    assert report.timed_out
    assert report.exit_code != 0
    assert report.duration_seconds < 30


@LINUX
@pytest.mark.parametrize(
    "leave",
    [
        "sh -c '{}' &",
        "setsid sh -c '{}' &",
        "(setsid sh -c '(setsid sh -c \"{}\" &)' &)",
        "setsid sh -c 'trap \"\" TERM HUP INT; {}' &",
        "setsid sh -c '{}; kill -STOP $$' &",
    ],
)
def test_no_process_outlives_the_run_however_it_detached_itself(tmp_path, leave):
    pid_file = tmp_path / "pid"
    body = f"echo \\$\\$ > {pid_file}.new; mv {pid_file}.new {pid_file}; while :; do sleep 1; done"
    if '"' not in leave.split("{}")[0].rsplit("'", 1)[-1]:
        body = body.replace("\\$", "$")
    script = leave.replace("{}", body) + f"\nwhile [ ! -e {pid_file} ]; do sleep 0.01; done; exit 0"
    report, _ = run(script, tmp_path)

    assert report.exit_code == 0
    assert report.killed_orphans >= 1
    assert not report.survivors
    assert not is_alive(pid_file)


@LINUX
def test_a_swarm_that_forks_while_it_is_ended_is_ended(tmp_path):
    before = foreign_children()
    fork = "trap '' TERM; i=0; while [ $i -lt 40 ]; do (trap '' TERM; setsid sleep 100) & i=$((i+1)); done; wait"
    with pytest.raises(Ended):
        run(f"echo up; {fork}", tmp_path, write=stop_at(b"up"))

    assert foreign_children() <= before


@LINUX
def test_an_orphan_that_keeps_the_pipes_open_does_not_hold_the_run_up(tmp_path):
    report, output = run("setsid sh -c 'trap \"\" TERM; sleep 1000' & echo done", tmp_path)

    assert (report.exit_code, output) == (0, b"done\n")
    assert report.duration_seconds < 30


@LINUX
def test_a_program_that_kills_its_supervisor_gains_nothing(tmp_path):
    before = foreign_children()
    pid_file = tmp_path / "pid"
    report, _ = run(f"kill -KILL $PPID; setsid sh -c 'echo $$ > {pid_file}; sleep 1000' & sleep 1000", tmp_path)

    assert (report.supervised, report.exit_code, report.survivors) == (False, None, False)
    assert report.killed_orphans >= 1
    assert not pid_file.exists() or not is_alive(pid_file)
    assert foreign_children() <= before


@LINUX
def test_a_program_that_stops_its_supervisor_runs_into_the_limits(tmp_path, monkeypatch):
    before = foreign_children()
    monkeypatch.setattr(runtime_process, "SUPERVISOR_MARGIN_SECONDS", 0.1)
    script = "kill -STOP $PPID; echo it is stopped now; sleep 1000"
    report, _ = run(script, tmp_path, hard_bytes=3, grace_seconds=0.1, kill_seconds=1.0)

    assert report.output_flooded
    assert not report.supervised
    assert foreign_children() <= before


def stop_at(word):
    def write(chunk):
        if word in chunk:
            raise Ended

    return write


@LINUX
def test_a_child_of_ours_that_was_there_before_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as ours:
        report, _ = run("kill -KILL $PPID; sleep 1000", tmp_path)
        alive = ours.poll() is None
        ours.kill()

    assert not report.supervised
    assert alive


@LINUX
@pytest.mark.parametrize("error", [Ended, KeyboardInterrupt, OSError])
def test_an_interrupt_or_a_failing_log_ends_the_tree_and_is_raised(tmp_path, error):
    pid_file = tmp_path / "pid"

    def write(_chunk):
        raise error

    with pytest.raises(error):
        run(f"echo $$ > {pid_file}; trap '' TERM; echo up; sleep 1000; sleep 1000", tmp_path, write=write)

    assert not is_alive(pid_file)


@LINUX
def test_our_own_sudden_death_ends_the_tree(tmp_path):
    pid_file = tmp_path / "pid"
    program = f"""
import sys
from pathlib import Path
from coven_action.adapters.runtime_process import run_process
from coven_action.core.contract.process_output import ProcessLimits
run_process(["sh", "-c", "echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 1000; sleep 1000"],
    environment={{"PATH": {PATH!r}}}, cwd=Path("/"), limits=ProcessLimits(seconds=600), write=bytes)
"""
    started = subprocess.Popen([sys.executable, "-P", "-c", program])
    try:
        wait_until(pid_file.exists)
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()

    wait_until(lambda: not is_alive(pid_file))


def test_a_flood_is_counted_cut_and_at_last_ended(tmp_path):
    report, output = run("yes", tmp_path, kept_bytes=100, hard_bytes=1_000_000, tail_bytes=10)

    assert (report.output_flooded, report.output_truncated, report.timed_out) == (True, True, False)
    assert len(output) == 100
    assert report.output_bytes > 1_000_000
    assert len(report.stdout_tail) == 10
    assert report.signal == signal.SIGTERM


def test_below_the_hard_limit_a_talkative_program_runs_to_its_end(tmp_path):
    report, output = run("yes | head -c 500000; echo last", tmp_path, kept_bytes=1000)

    assert (report.exit_code, report.output_flooded, report.output_bytes) == (0, False, 500_005)
    assert len(output) == 1000
    assert report.stdout_tail.endswith(b"last\n")


def test_names_that_are_no_unicode_reach_the_program_as_they_are(tmp_path):
    report, _ = run('[ "$ODD" = "$(printf "\\377")" ]', tmp_path, environment={"ODD": os.fsdecode(b"\xff")})

    assert report.exit_code == 0


@LINUX
def test_without_a_process_table_the_group_is_ended_and_what_left_it_is_reported(tmp_path):
    pid_file = tmp_path / "pid"
    nowhere = tmp_path / "no-proc"
    inside, _ = run("sleep 1000 & exit 0", tmp_path, proc=nowhere)
    assert not inside.survivors
    assert "can outlive the run" in inside.note

    script = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 1000' & while [ ! -s {pid_file} ]; do sleep 0.01; done"
    outside, _ = run(script, tmp_path, proc=nowhere, kill_seconds=0.3)
    os.kill(int(pid_file.read_text(encoding="ascii")), signal.SIGKILL)

    assert outside.survivors


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff", b"null"])
def test_a_report_that_cannot_be_read_is_no_report(text):
    assert parse_report(text) == {}


def test_the_supervisor_ends_quietly_when_it_is_told_nothing():
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(runtime_process.SUPERVISOR)], input=b"", capture_output=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_supervisor_hears_a_request_to_end_by_signal(tmp_path):
    ready = tmp_path / "ready"
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        order = {
            "argv": ["sh", "-c", f"touch {ready}; sleep 1000"],
            "environment": {"PATH": PATH},
            "cwd": str(tmp_path),
            "proc": "/proc",
            "grace_seconds": 5,
            "kill_seconds": 5,
            "stdout": out.fileno(),
            "stderr": err.fileno(),
        }
        with subprocess.Popen(
            [sys.executable, "-I", "-S", str(runtime_process.SUPERVISOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(out.fileno(), err.fileno()),
        ) as supervisor:
            supervisor.stdin.write(json.dumps(order).encode() + b"\n")
            supervisor.stdin.flush()
            wait_until(ready.exists)
            supervisor.send_signal(signal.SIGTERM)
            report = json.loads(supervisor.stdout.read())

    assert report["signal"] == signal.SIGTERM
