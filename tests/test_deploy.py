"""The examples of deployments are what their tools take, and run the endpoint with no more than it needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from coven_action.cli.main import COMMANDS
from coven_action.hosted.routes import health
from coven_action.hosted.server import DRAIN_SECONDS
from coven_action.hosted.settings import VARIABLES, Settings
from coven_action.hosted.settings_file import read_settings_file

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = [DEPLOY / "compose" / name for name in ("compose.yaml", "replicas.yaml")]
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
    for path in COMPOSE:
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            if service["image"] == "coven-endpoint":
                for variable in service.get("environment", {}):
                    yield f"{path.name}: {name}", variable
    for name, template in PODS.items():
        for container in template["spec"]["containers"]:
            for each in container.get("env", ()):
                yield name, each["name"]


def test_every_variable_is_a_setting():
    known = {VARIABLES.get(name, f"COVEN_{name.upper()}") for name in Settings.model_fields} | {"COVEN_CONFIG"}

    assert [(place, variable) for place, variable in list_variables() if variable not in known] == []


def list_commands():
    """Return every command line of ours that an example runs."""
    for path in COMPOSE:
        for service in yaml.safe_load(path.read_text())["services"].values():
            yield service.get("command", ())
    for template in PODS.values():
        for container in template["spec"]["containers"]:
            yield container.get("command", ())
    for path in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE):
            yield line.split()


def test_every_command_is_one():
    commands = [words for words in list_commands() if words]

    assert len(commands) >= 5
    for program, command, *_ in commands:
        assert Path(program).name == PROGRAM
        assert command in COMMANDS


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
    services = yaml.safe_load(path.read_text())["services"]
    ours = {name: each for name, each in services.items() if each["image"] == "coven-endpoint"}

    assert "endpoint" in ours
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "cap_add" not in service
        assert "privileged" not in service
        # Only the proxy is reached from outside.
        assert "ports" not in service
    assert int(ours["endpoint"]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    assert services["proxy"]["ports"] == ["80:80", "443:443"]


def test_what_compose_mounts_lies_beside_it():
    for path in COMPOSE:
        for service in yaml.safe_load(path.read_text())["services"].values():
            for volume in service.get("volumes", ()):
                if volume.startswith("./"):
                    assert (path.parent / volume.split(":")[0]).is_file()


def test_replicas_are_counted_and_share_one_key():
    endpoint = yaml.safe_load(COMPOSE[1].read_text())["services"]["endpoint"]

    assert endpoint["environment"]["COVEN_REPLICAS"] == str(endpoint["deploy"]["replicas"])
    assert endpoint["environment"]["COVEN_SIGNING_KEY"] == f"/run/secrets/{endpoint['secrets'][0]}"


def test_the_endpoint_never_has_the_role_that_owns_the_tables():
    services = yaml.safe_load(COMPOSE[1].read_text())["services"]
    assert "coven_owner" in services["migrate"]["environment"]["DATABASE_URL"]
    assert "coven_app" in services["endpoint"]["environment"]["DATABASE_URL"]

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
    assert not any(path["path"].startswith("/metrics") for path in rule["http"]["paths"])


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
