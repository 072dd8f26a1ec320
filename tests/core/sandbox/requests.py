"""Requests and machines for the tests of the sandbox's rules."""

from coven_action.core.sandbox.request import Bind, Machine, Place, SandboxRequest

MACHINE = Machine(
    architecture="x86_64",
    bubblewrap=("/usr/bin/bwrap", "/venv/bwrap"),
    sudo=("/usr/bin/sudo", "-n", "--"),
    shell="/bin/sh",
    python="/opt/python/bin/python3.11",
    python_home="/opt/python",
    programs="/opt/coven/inside",
    folders=("/usr", "/lib64"),
    links=(("/bin", "usr/bin"), ("/lib", "usr/lib")),
    landlock=7,
    uid=1001,
    gid=1002,
)
PLACE = Place(folder="/run-temp/told", scratch="/run-temp/scratch")
REQUEST = SandboxRequest(
    argv=("/opt/agent", "--headless"),
    environment={"HOME": "/srv/run", "GREETING": "hello world"},
    folder="/srv/run/tree",
    binds=(Bind("/opt/agent"), Bind("/srv/run/home", writable=True)),
    gateway="/run-temp/gateway.sock",
)
