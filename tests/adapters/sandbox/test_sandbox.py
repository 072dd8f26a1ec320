"""Programs in each sandbox: what they get, what they may do, and what is left of them."""

import os
import socket
import threading
from pathlib import Path

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.running import run_confined
from coven_action.adapters.sandbox.sandbox import sweep
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.request import MIB, Bind, SandboxLimits, SandboxRequest
from tests.sandboxes import get_sandbox, missing, open_base

PATH = "/usr/local/bin:/usr/bin:/bin"
PYTHON = find_machine().python
LIMITS = ProcessLimits(seconds=60, grace_seconds=0.0)


@pytest.fixture
def base():
    with open_base() as folder:
        yield folder


@pytest.fixture(params=["bubblewrap", "root-bubblewrap", "landlock"])
def sandbox(request):
    if request.param == "root-bubblewrap" and os.geteuid() != 0:
        missing("only root can do without a user namespace", needs_root=True)
    return get_sandbox(request.param)


def find_free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(sandbox, base, *argv, process_limits=LIMITS, **request):
    folder = base / "workspace"
    folder.mkdir(exist_ok=True)
    environment = {"PATH": PATH, "HOME": str(folder), "GREETING": "hello"}
    output = bytearray()
    ended = run_confined(
        sandbox,
        SandboxRequest(argv=argv, environment=environment, folder=str(folder), **request),
        run=run_process,
        base=base,
        limits=process_limits,
        write=output.extend,
    )
    return ended, output.decode()


def run_python(sandbox, base, code, *arguments, **request):
    return run(sandbox, base, PYTHON, "-I", "-S", "-c", code, *arguments, **request)


def test_a_program_works_in_its_folder_with_its_environment(sandbox, base):
    ended, output = run(sandbox, base, "sh", "-c", 'echo "$GREETING in $(pwd)" | tee file; exit 3')

    assert output == f"hello in {base}/workspace\n"
    assert (base / "workspace/file").read_text() == output
    assert ended.process.exit_code == 3
    assert (ended.process.survivors, ended.exceeded) == (False, "")
    assert ended.limited_by


def test_nothing_of_the_sandbox_itself_is_left(sandbox, base):
    run(sandbox, base, "true")

    assert [path.name for path in base.iterdir()] == ["workspace"]


def test_a_program_that_is_not_there_is_told(sandbox, base):
    ended, output = run(sandbox, base, "no-such-program")

    assert ended.process.exit_code == 127
    assert "no-such-program cannot be started" in output


def test_the_first_process_hears_no_signal_from_inside(base):
    script = "for number in INT TERM KILL HUP; do kill -$number 1; done; echo still here"

    ended, output = run(get_sandbox("bubblewrap"), base, "sh", "-c", script)

    assert (output, ended.process.exit_code) == ("still here\n", 0)


def test_the_end_of_an_orphan_is_not_the_end(base):
    # The program reads the end of what the orphan held open, so that it goes on after the orphan's end.
    script = "mkfifo ended; (sh -c 'exec 3>ended; exit 7' &) ; read -r line <ended; sleep 0.1; echo after; exit 3"

    ended, output = run(get_sandbox("bubblewrap"), base, "sh", "-c", script)

    assert (output, ended.process.exit_code) == ("after\n", 3)


def test_what_is_bound_for_reading_cannot_be_written(sandbox, base):
    (base / "given").mkdir()
    (base / "given/file").write_text("as it was\n")
    (base / "given/file").chmod(0o666)
    given = str(base / "given")

    ended, output = run(
        sandbox, base, "sh", "-c", f"cat {given}/file; echo changed > {given}/file", binds=(Bind(given),)
    )

    assert output.startswith("as it was\n")
    assert ended.process.exit_code != 0
    assert (base / "given/file").read_text() == "as it was\n"


def test_what_is_bound_for_writing_can_be_written(sandbox, base):
    (base / "given").mkdir()

    ended, _ = run(
        sandbox, base, "sh", "-c", f"echo new > {base}/given/file", binds=(Bind(f"{base}/given", writable=True),)
    )

    assert ended.process.exit_code == 0
    assert (base / "given/file").read_text() == "new\n"


def test_what_is_not_bound_cannot_be_read(sandbox, base):
    (base / "beside").write_text("secret")

    ended, output = run(sandbox, base, "cat", f"{base}/beside", f"{base}/../../proc/1/environ")

    assert ended.process.exit_code != 0
    assert "secret" not in output


ECHO = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    def send():
        connection.sendall(bytes(range(256)) * 8192)
        connection.shutdown(socket.SHUT_WR)
    import threading
    thread = threading.Thread(target=send)
    thread.start()
    got = b""
    while piece := connection.recv(65536):
        got += piece
    thread.join()
print(got == bytes(range(256)) * 8192)
"""


def answer(listener):
    """Send back what comes, to its end."""
    connection, _ = listener.accept()
    with connection:
        while piece := connection.recv(65536):
            connection.sendall(piece)


def test_the_relay_carries_both_directions_whole(sandbox, base):
    path, port = str(base / "gateway.sock"), find_free_port()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        Path(path).chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        ended, output = run_python(sandbox, base, ECHO, str(port), gateway=path, relay_port=port)
        thread.join(10)

    assert (output, ended.process.exit_code) == ("True\n", 0)


def test_a_gateway_that_is_gone_closes_the_connection(sandbox, base):
    path, port = str(base / "gateway.sock"), find_free_port()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    code = f'import socket; print(socket.create_connection(("127.0.0.1", {port})).recv(1))'

    _, output = run_python(sandbox, base, code, gateway=path, relay_port=port)

    assert output == "b''\n"


def test_without_a_gateway_nobody_listens(base):
    code = 'import socket; print(socket.socket().connect_ex(("127.0.0.1", 8377)))'

    _, output = run_python(get_sandbox("bubblewrap"), base, code)

    assert output == "111\n"


@pytest.mark.parametrize(
    "path", ["/file", "/dev/file", "/etc/file", "/etc/passwd", "/run/file", "/proc/sys/kernel/core_pattern"]
)
@pytest.mark.parametrize("backend", ["bubblewrap", "root-bubblewrap"])
def test_nothing_but_the_folder_and_temporary_files_can_be_written(base, backend, path):
    if backend == "root-bubblewrap" and os.geteuid() != 0:
        missing("only root can do without a user namespace", needs_root=True)

    ended, _ = run(get_sandbox(backend), base, "sh", "-c", f": >> {path}")

    assert ended.process.exit_code != 0


def test_the_sandbox_knows_nobody_of_the_machine(base):
    _, output = run(
        get_sandbox("bubblewrap"), base, "sh", "-c", "cat /etc/passwd; cat /proc/sys/kernel/hostname; ls /etc"
    )

    assert "root" not in output.split("\n")[0].replace(":/root", "")
    assert socket.gethostname() not in output
    assert "shadow" not in output


# --- bounds

HOLD = "import time\nwhile True: time.sleep(1)\n"


def test_memory_of_all_processes_together_is_bounded(sandbox, base):
    code = f"import os\nos.fork(); os.fork()\nheld = bytearray(60 << 20)\n{HOLD}"
    limits = SandboxLimits(memory_bytes=100 * MIB)

    ended, _ = run_python(sandbox, base, code, limits=limits)

    assert ended.exceeded == "memory"
    assert not ended.process.survivors


def test_one_process_cannot_take_more_than_all(sandbox, base):
    ended, output = run_python(sandbox, base, "bytearray(200 << 20)", limits=SandboxLimits(memory_bytes=100 * MIB))

    assert "MemoryError" in output
    assert ended.process.exit_code == 1


def test_the_number_of_processes_is_bounded(sandbox, base):
    code = f"import os\nfor _ in range(40):\n    if os.fork() == 0: break\n{HOLD}"

    ended, output = run_python(sandbox, base, code, limits=SandboxLimits(processes=30))

    # The kernel refuses the next process to an ordinary user, and to nobody who is root outside: the watcher sees those.
    assert ended.exceeded == "processes" or "BlockingIOError" in output
    assert not ended.process.survivors


def test_the_size_of_the_folder_is_bounded(sandbox, base):
    code = f"for number in range(8): open(str(number), 'wb').write(bytes(1 << 20))\n{HOLD}"

    ended, _ = run_python(sandbox, base, code, limits=SandboxLimits(workspace_bytes=4 * MIB))

    assert ended.exceeded == "workspace"


def test_one_file_cannot_grow_larger_than_the_folder_may(sandbox, base):
    code = "open('file', 'wb').write(bytes(8 << 20))"

    ended, _ = run_python(sandbox, base, code, limits=SandboxLimits(workspace_bytes=4 * MIB))

    assert ended.process.exit_code != 0
    assert (base / "workspace/file").stat().st_size <= 4 * MIB


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_temporary_files_are_bounded(base, folder):
    code = f"open('{folder}/file', 'wb').write(bytes(8 << 20))"

    _, output = run_python(get_sandbox("bubblewrap"), base, code, limits=SandboxLimits(scratch_bytes=4 * MIB))

    assert "No space left on device" in output


class Enough(Exception):
    """Raised when the tree has told that it is up."""


def test_a_tree_of_deaf_daemons_is_gone_at_the_end(sandbox, base):
    code = (
        "import os, signal\n"
        "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0: os.setsid()\n"
        f"print('up', flush=True)\n{HOLD}"
    )
    folder = base / "workspace"
    folder.mkdir()
    told = bytearray()

    def write(data):
        told.extend(data)
        if told.count(b"up") == 8:
            raise Enough

    request = SandboxRequest(
        argv=(PYTHON, "-I", "-S", "-c", code, str(base)), environment={"PATH": PATH}, folder=str(folder)
    )
    with pytest.raises(Enough):
        run_confined(sandbox, request, run=run_process, base=base, limits=LIMITS, write=write)

    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(base).encode() in read_or_nothing(path)]


def read_or_nothing(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_an_interrupted_run_left_is_swept(base):
    (base / "coven-sandbox-x/told").mkdir(parents=True)
    (base / "coven-probe-x/workspace").mkdir(parents=True)
    (base / "kept").mkdir()

    sweep(base)

    assert [path.name for path in base.iterdir()] == ["kept"]
