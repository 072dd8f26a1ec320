"""Which escapes are tried, and which level the results prove. Pure.

A level is never declared: it is what is left after the escapes that were seen to fail. A probe that could not be tried
proves nothing, and counts as an escape.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.isolation import IsolationLevel
from coven_action.core.records import Record

Outcome = Literal["held", "escaped", "not tried"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One escape that is tried inside the sandbox.

    Attributes:
        name: Its public name.
        tries: What it tries, as a phrase after "tries to".
        needed_for: The lowest level that this escape denies: `partial` leaves `none`, `enforced` leaves `partial`.
    """

    name: str
    tries: str
    needed_for: Literal["partial", "enforced"]


PROBES: Final = (
    # the one thing that must work: a sandbox in which nothing works would hold everything
    Probe("gateway", "reach the gateway's socket and work in its own folder, which must succeed", "partial"),
    # nothing readable but the binds, nothing writable that later steps read
    Probe("file-outside", "read a file beside the sandbox", "partial"),
    Probe("file-modes", "change the mode, or other properties, of files it may not write", "partial"),
    Probe("home-folder", "read the home folder of the runner's user", "partial"),
    Probe("credential-files", "read credentials of git, ssh, clouds, the checkout and the system", "partial"),
    Probe("environment", "find a variable that it was not given", "partial"),
    Probe("descriptors", "find an open descriptor that it was not given", "partial"),
    Probe("shared-memory", "read shared memory of other programs", "partial"),
    Probe("runner-files", "write what the runner reads: GITHUB_ENV, GITHUB_PATH, GITHUB_OUTPUT", "partial"),
    Probe("runner-folders", "write into the runner's folders: temporary, tools, actions", "partial"),
    Probe("start-files", "write what shells and git start: profiles, hooks, configuration", "partial"),
    # foreign processes unreadable
    Probe("process-list", "see the command line of a process outside", "partial"),
    Probe("process-environment", "read the environment of a process outside", "partial"),
    Probe("process-memory", "read the memory of a process outside", "partial"),
    Probe("process-descriptors", "read through a descriptor of a process outside", "partial"),
    Probe("process-links", "reach files outside through what a process inside has open or runs", "partial"),
    Probe("ptrace", "trace a process outside", "partial"),
    Probe("signal", "signal a process outside, or change its limits", "partial"),
    Probe("unix-socket", "connect to sockets of services outside, such as Docker's", "partial"),
    # no way to gain privilege
    Probe("sudo", "become root by `sudo -n true`", "partial"),
    Probe("setuid", "gain privilege by a setuid program", "partial"),
    Probe("capabilities", "use a capability: mount, become another user, rename the host", "partial"),
    Probe("user-namespace", "open a user namespace, with all capabilities in it", "partial"),
    Probe("kernel-settings", "write settings of the kernel, or read its log", "partial"),
    Probe("devices", "open disks, memory and other devices", "partial"),
    Probe("keyring", "read the user's kernel keyring", "partial"),
    Probe("terminal-input", "type into a terminal", "partial"),
    # nothing survives
    Probe("survival", "outlive the end as a daemon", "partial"),
    # no way out: TCP limited for `partial`, nothing at all for `enforced`
    Probe("tcp-ports", "connect by TCP to any port but the gateway's", "partial"),
    Probe("tcp-ipv4", "connect by TCP to another IPv4 address", "enforced"),
    Probe("tcp-ipv6", "connect by TCP to another IPv6 address", "enforced"),
    Probe("udp", "send UDP", "enforced"),
    Probe("dns", "ask a name server", "enforced"),
    Probe("raw-socket", "open a raw or packet socket", "enforced"),
    Probe("abstract-socket", "connect to an abstract socket outside", "enforced"),
    Probe("metadata", "connect to the cloud's metadata address", "enforced"),
    Probe("host-socket", "open the line of a virtual machine to its host", "enforced"),
)
PROBE_NAMES: Final = tuple(probe.name for probe in PROBES)


class ProbeResult(Record):
    """What came of one probe.

    Args:
        probe: A name of `PROBES`.
        outcome: `held` only where the escape was tried and failed.
        detail: What was reached, or why nothing was tried; empty where it held.
    """

    probe: str
    outcome: Outcome
    detail: str = ""


class Attempt(Record):
    """One backend that was tried on this machine.

    Args:
        backend: Its name.
        program: The bubblewrap that was used; empty where the backend uses none.
        level: What its probes prove.
        results: One result for each probe, in the order of `PROBES`; empty where it could not be started.
        reason: Why it could not be started; empty where it could.
    """

    backend: str
    program: str = ""
    level: IsolationLevel
    results: tuple[ProbeResult, ...] = ()
    reason: str = ""


def compute_level(results: Iterable[ProbeResult]) -> IsolationLevel:
    """Return the level that the results prove: an escape, a probe not tried and a probe missing all deny the same."""
    outcomes: dict[str, set[str]] = {}
    for result in results:
        outcomes.setdefault(result.probe, set()).add(result.outcome)
    failed = {probe.needed_for for probe in PROBES if outcomes.get(probe.name) != {"held"}}
    if "partial" in failed:
        return "none"
    return "partial" if failed else "enforced"


def complete_results(results: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Return one result for each probe, in order: the first that is not `held` where there are several."""
    found: dict[str, ProbeResult] = {}
    for result in results:
        if result.probe not in found or found[result.probe].outcome == "held":
            found[result.probe] = result
    missing = "no result came back"
    return tuple(found.get(name, ProbeResult(probe=name, outcome="not tried", detail=missing)) for name in PROBE_NAMES)


def build_attempt(backend: str, program: str, results: Iterable[ProbeResult]) -> Attempt:
    """Return the record of a backend whose probes were started."""
    complete = complete_results(results)
    return Attempt(backend=backend, program=program, level=compute_level(complete), results=complete)
