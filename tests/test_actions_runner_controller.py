"""The example for Kubernetes: a pod that gives nothing away, a policy that lets HTTPS out alone, a filter that holds."""

import copy
import ctypes
import ctypes.util
import functools
import ipaddress
import json
import operator
import os
import subprocess
from pathlib import Path

import pydantic
import pytest
import yaml

from coven_action.adapters.sandbox.machine import find_bubblewrap
from tests.adapters.sandbox.test_hosted_runner import USER, find_python
from tests.sandboxes import missing, need_open_checkout, open_base
from tests.test_images import find_all

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy/actions-runner-controller"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
NAMESPACE = yaml.safe_load((FOLDER / "namespace.yaml").read_text())
POLICY = yaml.safe_load((FOLDER / "network-policy.yaml").read_text())
PROFILE = json.loads((FOLDER / "seccomp-profile.json").read_text())

# --- the pod

VOLUME = "a volume that is not the pod's own, or has no end"


def find_weaknesses(values):
    """What a pod of these values could do that a runner's must not; https://kubernetes.io/docs/concepts/security/"""
    spec = values["template"]["spec"]
    pod = spec.get("securityContext", {})
    (user,) = find_all("runner", "USER")
    yield from (
        said
        for said, wrong in {
            "a mode in which jobs make containers": bool(values.get("containerMode")),
            "a secret in the file": not isinstance(values["githubConfigSecret"], str),
            "runners that wait": values["minRunners"] != 0,
            "the cluster's token": spec.get("automountServiceAccountToken") is not False,
            "the node's users": spec.get("hostUsers") is not False,
            "the node's namespaces": bool({"hostNetwork", "hostPID", "hostIPC"} & set(spec)),
            "another container": [each["name"] for each in spec["containers"]] != ["runner"]
            or bool(spec.get("initContainers")),
            "root": pod.get("runAsNonRoot") is not True or f"{pod.get('runAsUser')}:{pod.get('runAsGroup')}" != user,
            "no filter": pod.get("seccompProfile", {}).get("type") != "Localhost",
            "a second job": spec.get("restartPolicy") != "Never",
        }.items()
        if wrong
    )
    for volume in spec.get("volumes", []):
        if set(volume) != {"name", "emptyDir"} or "sizeLimit" not in volume["emptyDir"]:
            yield VOLUME
    for container in spec["containers"]:
        context = container.get("securityContext", {})
        if context.get("privileged") is not False or context.get("allowPrivilegeEscalation") is not False:
            yield "privileges"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield "capabilities"
        if "@sha256:" not in container["image"]:
            yield "an image that can be moved"
        if not {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"].get("limits", {})):
            yield "no bounds"


def test_the_pod_gives_nothing_away():
    assert list(find_weaknesses(VALUES)) == []


SPEC = ("template", "spec")
RUNNER = (*SPEC, "containers", 0)


WEAKENED = [
    (("containerMode",), {"type": "dind"}, "a mode in which jobs make containers"),
    (("githubConfigSecret",), {"github_token": "ghp_"}, "a secret in the file"),
    (("minRunners",), 1, "runners that wait"),
    ((*SPEC, "automountServiceAccountToken"), None, "the cluster's token"),
    ((*SPEC, "hostUsers"), None, "the node's users"),
    ((*SPEC, "hostNetwork"), True, "the node's namespaces"),
    ((*SPEC, "initContainers"), [{"name": "init"}], "another container"),
    ((*SPEC, "securityContext", "runAsUser"), 0, "root"),
    ((*SPEC, "securityContext", "runAsNonRoot"), None, "root"),
    ((*SPEC, "securityContext", "seccompProfile", "type"), "Unconfined", "no filter"),
    ((*SPEC, "restartPolicy"), "Always", "a second job"),
    ((*SPEC, "volumes", 0), {"name": "work", "hostPath": {"path": "/var/run/docker.sock"}}, VOLUME),
    ((*SPEC, "volumes", 0, "emptyDir"), {}, VOLUME),
    ((*RUNNER, "securityContext", "privileged"), True, "privileges"),
    ((*RUNNER, "securityContext", "allowPrivilegeEscalation"), None, "privileges"),
    ((*RUNNER, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "capabilities"),
    ((*RUNNER, "image"), "ghcr.io/acme/coven-action-runner:latest", "an image that can be moved"),
    ((*RUNNER, "resources", "limits", "memory"), None, "no bounds"),
]


@pytest.mark.parametrize(
    ("path", "to", "found"), WEAKENED, ids=[f"{'.'.join(map(str, path))}: {to}" for path, to, _ in WEAKENED]
)
def test_a_pod_that_gave_something_away_would_be_noticed(path, to, found):
    weakened = copy.deepcopy(VALUES)
    *way, last = path
    place = functools.reduce(operator.getitem, way, weakened)
    if to is None:
        del place[last]
    else:
        place[last] = to

    assert list(find_weaknesses(weakened)) == [found]


def test_the_pod_starts_what_the_image_has():
    (runner,) = VALUES["template"]["spec"]["containers"]
    (start,) = find_all("runner", "CMD")

    assert runner["command"][0] in start
    assert {mount["name"] for mount in runner["volumeMounts"]} == {
        volume["name"] for volume in VALUES["template"]["spec"]["volumes"]
    }


def test_the_page_says_where_everything_that_the_example_names_comes_from():
    page = (ROOT / "docs/self-hosted.md").read_text()
    profile = VALUES["template"]["spec"]["securityContext"]["seccompProfile"]["localhostProfile"]

    assert f"/var/lib/kubelet/seccomp/{profile}`" in page
    assert f"secret generic {VALUES['githubConfigSecret']} --namespace {NAMESPACE['metadata']['name']} " in page
    assert f"`runs-on: {VALUES['runnerScaleSetName']}`" in page
    assert all(path.name in page for path in FOLDER.iterdir())


# --- the network


def find_peers(address, protocol, port):
    """The peers of the policy that let a pod speak to an address; names of namespaces are not looked at."""
    target = ipaddress.ip_address(address)
    for rule in POLICY["spec"]["egress"]:
        if {"protocol": protocol, "port": port} not in rule["ports"]:
            continue
        for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
            if target in ipaddress.ip_network(block["cidr"]) and not any(
                target in ipaddress.ip_network(left_out) for left_out in block["except"]
            ):
                yield block["cidr"]


@pytest.mark.parametrize("address", ["140.82.112.3", "1.1.1.1", "2606:50c0:8000::153"])
def test_https_leads_to_the_internet(address):
    assert len(list(find_peers(address, "TCP", 443))) == 1
    assert not list(find_peers(address, "UDP", 443))
    assert not [port for port in (22, 25, 53, 80, 6443, 8080) if list(find_peers(address, "TCP", port))]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "10.96.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fc00::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
    ],
)
def test_nothing_leads_to_metadata_or_into_a_private_network(address):
    assert not list(find_peers(address, "TCP", 443))


def test_names_are_asked_of_the_cluster_and_of_nobody_else():
    (names,) = (rule for rule in POLICY["spec"]["egress"] if {"protocol": "UDP", "port": 53} in rule["ports"])
    (peer,) = names["to"]

    assert set(peer) == {"namespaceSelector", "podSelector"}  # both at once; two peers would be all of kube-system


def test_the_policy_is_of_every_pod_in_the_runners_namespace_and_lets_nobody_in():
    assert POLICY["metadata"]["namespace"] == NAMESPACE["metadata"]["name"] == "coven-runners"
    assert POLICY["spec"]["podSelector"] == {}
    assert set(POLICY["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert POLICY["spec"]["ingress"] == []
    assert all(set(rule) == {"to", "ports"} and rule["to"] and rule["ports"] for rule in POLICY["spec"]["egress"])


# --- the filter

ALLOW, ERROR, UNKNOWN = 0x7FFF0000, 0x00050000, -1  # seccomp.h of libseccomp
REFUSED = {name: group["errnoRet"] for group in PROFILE["syscalls"] for name in group["names"]}


@pytest.fixture(scope="module")
def library():
    name = ctypes.util.find_library("seccomp")
    if name is None:
        missing("libseccomp, with which container engines build filters, is not installed")
    loaded = ctypes.CDLL(name, use_errno=True)
    loaded.seccomp_init.restype = ctypes.c_void_p
    loaded.seccomp_load.argtypes = [ctypes.c_void_p]
    loaded.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    return loaded


def load(library, refused):
    """Load the filter into this process, for good, as a container engine does before it starts a container."""
    if ctypes.CDLL(None, use_errno=True).prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS, as allowPrivilegeEscalation is
        raise OSError(ctypes.get_errno(), "new privileges could not be given up")
    context = library.seccomp_init(ALLOW)
    for name, errno in refused.items():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if code := library.seccomp_rule_add_array(context, ERROR | errno, number, 0, None):
            raise OSError(-code, f"{name} could not be refused")
    if code := library.seccomp_load(context):
        raise OSError(-code, "the filter could not be loaded")


def run_under(library, refused, *argv, base):
    """Run a program as a pod would: an ordinary user, with the filter, without any capability."""
    need_open_checkout()

    def become():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
        load(library, refused)

    bubblewrap = ":".join(str(path.parent) for path in find_bubblewrap())
    return subprocess.run(
        [find_python(), "-P", *argv],
        env={
            "PATH": f"{bubblewrap}:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'src'}:{Path(pydantic.__file__).parents[1]}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RUNNER_TEMP": str(base),
            "HOME": str(base),
        },
        preexec_fn=become,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


@pytest.fixture
def base():
    with open_base() as folder:
        if os.geteuid() == 0:
            os.chown(folder, USER, USER)
        yield folder


def probe_under(library, refused, base):
    done = run_under(library, refused, "-m", "coven_action", "probe", "--json", base=base)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    return report["level"], report["backend"]


def test_the_sandbox_is_enforced_under_the_filter(library, base):
    if not any(find_bubblewrap()):
        missing("bubblewrap is not installed")

    assert probe_under(library, REFUSED, base) == ("enforced", "bubblewrap")


@pytest.mark.parametrize("call", ["unshare", "mount", "pivot_root"])
def test_a_filter_that_refused_more_would_cost_the_level(library, base, call):
    more = {"clone": 1} if call == "unshare" else {}

    level, backend = probe_under(library, REFUSED | {call: 1} | more, base)

    assert (level, backend) != ("enforced", "bubblewrap")
    assert level != "enforced"


@pytest.mark.parametrize("call", REFUSED)
def test_every_call_that_is_refused_is_one_that_there_is(library, call):
    """An engine passes over a name that it does not know: a slip of the pen would refuse nothing."""
    assert library.seccomp_syscall_resolve_name(call.encode()) != UNKNOWN


TRY = """
import ctypes, sys
library = ctypes.CDLL(None, use_errno=True)
for number in map(int, sys.argv[1:]):
    result = library.syscall(number, -1, 0, 0, 0, 0, 0)
    print(ctypes.get_errno() if result == -1 else 0)
"""


def test_what_is_refused_is_refused(library, base):
    """Called with what no call takes, so that nothing happens where one is let through."""
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in REFUSED if name != "vhangup"}
    present = {name: number for name, number in numbers.items() if number >= 0}  # below 0: another architecture's

    with_filter, without = (
        run_under(library, refused, "-I", "-c", TRY, *map(str, present.values()), base=base).stdout.split()
        for refused in (REFUSED, {})
    )

    assert dict(zip(present, map(int, with_filter), strict=True)) == {name: REFUSED[name] for name in present}
    assert len(present) >= 35
    # Much of it the kernel refuses an ordinary user by itself; not all of it.
    assert sum(one != other for one, other in zip(with_filter, without, strict=True)) >= 10


def test_the_filter_is_of_the_form_that_engines_read():
    assert set(PROFILE) == {"comment", "defaultAction", "architectures", "syscalls"}
    assert PROFILE["defaultAction"] == "SCMP_ACT_ALLOW"
    assert PROFILE["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]  # another one's numbers pass no filter
    assert {group["action"] for group in PROFILE["syscalls"]} == {"SCMP_ACT_ERRNO"}
    assert len(REFUSED) == sum(len(group["names"]) for group in PROFILE["syscalls"])
