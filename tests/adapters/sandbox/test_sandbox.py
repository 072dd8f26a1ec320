"""Programs in each sandbox: what they get, what they may do, and what is left of them."""

import os
import socket
import threading
from pathlib import Path

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.running import run_confined
from coven_action.adapters.sandbox.sandbox import choose_relay_port, sweep
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.landlock import get_handled
from coven_action.core.sandbox.network import NETWORK_FILES, NETWORK_FOLDERS
from coven_action.core.sandbox.request import MIB, RELAY_PORT, Bind, SandboxLimits, SandboxRequest
from tests.processes import find_processes_that_name
from tests.sandboxes import close_programs, get_sandbox, missing, open_base

PATH = "/usr/local/bin:/usr/bin:/bin"
PYTHON = find_machine().python
LIMITS = ProcessLimits(seconds=60, grace_seconds=0.0)


@pytest.fixture
def base():
    with open_base() as folder:
        yield folder


CONFINING = ("bubblewrap", "root-bubblewrap", "landlock")


def find_backend(backend):
    if backend == "root-bubblewrap" and os.geteuid() != 0:
        missing("only root can do without a user namespace", needs_root=True)
    return get_sandbox(backend)


@pytest.fixture(params=CONFINING)
def sandbox(request):
    """What confines a program."""
    return find_backend(request.param)


@pytest.fixture(params=[*CONFINING, "none"])
def starter(request):
    """What starts a program within bounds, whether it confines the program or not."""
    return find_backend(request.param)


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


def test_what_starts_a_program_may_lie_where_its_owner_alone_may_enter(starter, base):
    ended, output = run(close_programs(starter, base), base, "sh", "-c", 'echo "$GREETING"; exit 3')

    assert (output, ended.process.exit_code) == ("hello\n", 3)


def test_a_program_works_in_its_folder_with_its_environment(starter, base):
    ended, output = run(starter, base, "sh", "-c", 'echo "$GREETING in $(pwd)" | tee file; exit 3')

    assert output == f"hello in {base}/workspace\n"
    assert (base / "workspace/file").read_text() == output
    assert ended.process.exit_code == 3
    assert (ended.process.survivors, ended.exceeded) == (False, "")
    assert ended.limited_by


def test_nothing_of_the_sandbox_itself_is_left(starter, base):
    run(starter, base, "true")

    assert [path.name for path in base.iterdir()] == ["workspace"]


def test_a_program_that_is_not_there_is_told(starter, base):
    ended, output = run(starter, base, "no-such-program")

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


def test_the_relay_carries_both_directions_whole(starter, base):
    path, port = str(base / "gateway.sock"), choose_relay_port(starter)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        Path(path).chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        ended, output = run_python(starter, base, ECHO, str(port), gateway=path, relay_port=port)
        thread.join(10)

    assert (output, ended.process.exit_code) == ("True\n", 0)


def test_the_gateways_folder_may_be_closed_to_everybody_else(starter, base):
    port = choose_relay_port(starter)
    (base / "gateway").mkdir(mode=0o700)
    path = base / "gateway" / ("socket" + "x" * 60)
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        path.chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        ended, output = run_python(starter, base, ECHO, str(port), gateway=str(path), relay_port=port)
        thread.join(10)

    assert (output, ended.process.exit_code) == ("True\n", 0)


def test_a_gateway_that_is_gone_closes_the_connection(starter, base):
    path, port = str(base / "gateway.sock"), choose_relay_port(starter)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    code = f'import socket; print(socket.create_connection(("127.0.0.1", {port})).recv(1))'

    _, output = run_python(starter, base, code, gateway=path, relay_port=port)

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


def test_memory_of_all_processes_together_is_bounded(starter, base):
    code = f"import os\nos.fork(); os.fork()\nheld = bytearray(60 << 20)\n{HOLD}"
    limits = SandboxLimits(memory_bytes=100 * MIB)

    ended, _ = run_python(starter, base, code, limits=limits)

    assert ended.exceeded == "memory"
    assert not ended.process.survivors


def test_one_process_cannot_take_more_than_all(starter, base):
    ended, output = run_python(starter, base, "bytearray(200 << 20)", limits=SandboxLimits(memory_bytes=100 * MIB))

    assert "MemoryError" in output
    assert ended.process.exit_code == 1


def test_the_number_of_processes_is_bounded(starter, base):
    code = f"import os\nfor _ in range(40):\n    if os.fork() == 0: break\n{HOLD}"

    ended, output = run_python(starter, base, code, limits=SandboxLimits(processes=30))

    # The kernel refuses the next process to an ordinary user, and to nobody who is root outside: the watcher sees those.
    assert ended.exceeded == "processes" or "BlockingIOError" in output
    assert not ended.process.survivors


def test_the_size_of_the_folder_is_bounded(starter, base):
    code = f"for number in range(8): open(str(number), 'wb').write(bytes(1 << 20))\n{HOLD}"

    ended, _ = run_python(starter, base, code, limits=SandboxLimits(workspace_bytes=4 * MIB))

    assert ended.exceeded == "workspace"


def test_one_file_cannot_grow_larger_than_the_folder_may(starter, base):
    code = "open('file', 'wb').write(bytes(8 << 20))"

    ended, _ = run_python(starter, base, code, limits=SandboxLimits(workspace_bytes=4 * MIB))

    assert ended.process.exit_code != 0
    assert (base / "workspace/file").stat().st_size <= 4 * MIB


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_temporary_files_are_bounded(base, folder):
    code = f"open('{folder}/file', 'wb').write(bytes(8 << 20))"

    _, output = run_python(get_sandbox("bubblewrap"), base, code, limits=SandboxLimits(scratch_bytes=4 * MIB))

    assert "No space left on device" in output


class Enough(Exception):
    """Raised when the tree has told that it is up."""


def test_a_tree_of_deaf_daemons_is_gone_at_the_end(starter, base):
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
        run_confined(starter, request, run=run_process, base=base, limits=LIMITS, write=write)

    assert find_processes_that_name(base) == []


def test_what_an_interrupted_run_left_is_swept(base):
    (base / "coven-sandbox-x/told").mkdir(parents=True)
    (base / "coven-probe-x/workspace").mkdir(parents=True)
    (base / "kept").mkdir()

    sweep(base)

    assert [path.name for path in base.iterdir()] == ["kept"]


# --- where nothing confines


def test_the_environment_is_what_was_given_where_nothing_confines(base, monkeypatch):
    monkeypatch.setenv("STRAY", "1")

    _, output = run(get_sandbox("none"), base, "env")

    names = {line.partition("=")[0] for line in output.splitlines()}
    assert names == {"PATH", "HOME", "GREETING", "TMPDIR"}


def test_temporary_files_are_removed_where_nothing_confines(base):
    _, output = run(get_sandbox("none"), base, "sh", "-c", 'echo "$TMPDIR"; touch "$TMPDIR/file"; ls "$TMPDIR"')

    folder, name = output.split()
    assert name == "file"
    assert not Path(folder).exists()


def test_nothing_is_confined_where_nothing_confines(base):
    """What tells the level `none` from the others, so that no test above takes one for the other."""
    (base / "beside").write_text("in reach")

    _, output = run(get_sandbox("none"), base, "cat", f"{base}/beside")

    assert output == "in reach"


@pytest.mark.parametrize(("backend", "own"), [("bubblewrap", True), ("landlock", False), ("none", False)])
def test_the_way_to_the_gateway_begins_at_a_free_port_where_others_may_listen(backend, own):
    ports = {choose_relay_port(get_sandbox(backend)) for _ in range(3)}

    assert (ports == {RELAY_PORT}) is own


# --- the machine's network

REACH = """
import socket, sys
port = int(sys.argv[1])
for kind, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", (address, port))
        print("sent", end=" ")
    except OSError:
        print("kept", end=" ")
try:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        print(connection.recv(5))
except OSError:
    print("held")
"""


@pytest.fixture
def neighbour():
    """The port of somebody else on this machine's loopback, who greets over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # shut down
                with connection:
                    connection.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_program_with_the_network_reaches_others_and_one_without_does_not(sandbox, base, neighbour):
    answers = [run_python(sandbox, base, REACH, str(neighbour), network=network)[1] for network in (True, False)]
    words = [answer.split() for answer in answers]

    assert words[0][-1] == "b'hello'"
    assert words[1][-1] == "held"
    assert words[0][0] == "sent"
    # A network of one's own takes a datagram for its own loopback, where nobody hears it.
    assert words[1][0] == ("kept" if sandbox.backend == "landlock" else "sent")


ABSTRACT = """
import socket, sys
try:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\\0" + sys.argv[1])
    print("reached")
except OSError as error:
    print("held")
"""


def test_sockets_without_a_path_stay_out_of_reach_of_a_program_with_the_network(sandbox, base):
    if sandbox.backend != "landlock" and not get_handled(sandbox.machine.landlock)[2]:
        missing("this kernel's Landlock does not know abstract sockets")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{base}")
        listener.listen()
        open_to_us = run_python(get_sandbox("none"), base, ABSTRACT, str(base))[1]
        _, output = run_python(sandbox, base, ABSTRACT, str(base), network=True)

    assert (open_to_us, output) == ("reached\n", "held\n")


RAW = """
import socket
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_INET6, socket.SOCK_RAW), (17, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, 1).close()
        print("opened")
    except OSError:
        print("held")
"""


def test_a_program_with_the_network_sends_no_raw_packets(sandbox, base):
    _, output = run_python(sandbox, base, RAW, network=True)

    assert output.split() == ["held", "held", "held"]


def test_a_program_with_the_network_reads_how_names_are_found_and_whom_to_trust(sandbox, base):
    here = [path for path in (*NETWORK_FILES, *NETWORK_FOLDERS) if Path(path).exists() and os.access(path, os.R_OK)]
    if not here:
        missing("this machine has no file that tells of the network")

    ended, output = run(sandbox, base, "ls", "-d", *here, network=True)
    assert (ended.process.exit_code, sorted(output.split())) == (0, sorted(here))
    files = [path for path in here if Path(path).is_file()]
    _, output = run(sandbox, base, "cat", *files, network=True)
    assert output == "".join(Path(path).read_text() for path in files)
    ended, _ = run(sandbox, base, "ls", "/etc/ssl/private", network=True)
    assert ended.process.exit_code != 0


def test_a_program_with_the_network_still_reads_nothing_that_is_not_bound(sandbox, base):
    (base / "beside").write_text("secret")

    ended, output = run(sandbox, base, "cat", f"{base}/beside", f"/proc/{os.getpid()}/environ", network=True)

    assert ended.process.exit_code != 0
    assert "secret" not in output
