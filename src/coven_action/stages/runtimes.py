"""Make a familiar's runtime ready to start: which program, which arguments, which surroundings. Decisions are `core`'s.

Each kind of runtime has one function; a runtime that is not in the table cannot be started. Whatever is started here works
in the sandbox that was proved, the question for a program's version included.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coven_action.core.contract.coven_code import (
    PLACEHOLDER_KEY,
    ModelAccess,
    decide_launch,
    parse_capabilities,
    runtime_environment,
)
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.documents import PlannedFamiliar
from coven_action.core.isolation import IsolationLevel
from coven_action.core.sandbox.request import Bind, SandboxRequest
from coven_action.errors import RuntimeFault
from coven_action.stages.ports import Confinement, ModelGateways, RuntimeInstaller

PROBE_LIMITS: Final = ProcessLimits(seconds=20.0, kept_bytes=512 * 1024, hard_bytes=8 * 1024 * 1024, grace_seconds=1.0)
SETTINGS_FILE: Final = "settings.json"


@dataclass(frozen=True, slots=True)
class RuntimePorts:
    """What runtimes need of the outside.

    Attributes:
        confinement: Starts programs.
        gateways: Lead to the model.
        install: Finds coven-code.
        patch_program: How the built-in `patch` runtime is started.
        patch_binds: What of this machine that takes beside the system.
        model_key: The model's key, None where the job was given none. It goes to the gateway and nowhere else.
    """

    confinement: Confinement
    gateways: ModelGateways
    install: RuntimeInstaller
    patch_program: tuple[str, ...]
    patch_binds: tuple[Bind, ...]
    model_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run, outside the workspace: a fresh home, temporary files, brief and result.

    The runtime may write into `home`, `temporary` and the folder of `result`, and read `brief`.
    """

    root: Path

    @property
    def home(self) -> Path:
        """The runtime's `HOME`."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """The runtime's `TMPDIR`."""
        return self.root / "tmp"

    @property
    def brief(self) -> Path:
        """Where the brief is written."""
        return self.root / "session-brief.json"

    @property
    def result(self) -> Path:
        """Where the runtime writes its result, in a folder that holds nothing else."""
        return self.root / "out" / "result.json"

    @property
    def gateway(self) -> Path:
        """The socket of the model gateway, in a folder that nobody else may enter."""
        return self.root / "gateway" / "socket"

    @property
    def binds(self) -> tuple[Bind, ...]:
        """What of it exists where the runtime works."""
        writable = (self.home, self.temporary, self.result.parent)
        return (Bind(str(self.brief)), *(Bind(str(folder), writable=True) for folder in writable))

    def create(self) -> None:
        """Make the folders. What an earlier attempt left is gone by then."""
        for folder in (self.home / ".coven-code", self.temporary, self.result.parent):
            folder.mkdir(parents=True)
        self.gateway.parent.mkdir(mode=0o700)

    def write_brief(self, text: str) -> None:
        """Write the brief, readable by whichever user the runtime works as, and remove an earlier attempt's result.

        Nothing in the result's folder is followed: what lies there was made by the runtime.
        """
        self.brief.write_text(text, encoding="utf-8")
        self.brief.chmod(0o644)
        self.result.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Access:
    """What a runtime may use of the outside.

    Attributes:
        level: The isolation in force.
        port: Where on loopback the way to the model gateway begins; None where there is no gateway.
    """

    level: IsolationLevel
    port: int | None = None

    @property
    def address(self) -> str | None:
        """The gateway's address as the runtime sees it; None where there is none."""
        return None if self.port is None else f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that is ready to start; `binds` are what it takes of this machine."""

    name: str
    version: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    capabilities: Mapping[str, Any]
    binds: tuple[Bind, ...]


def runtime_kind(familiar: PlannedFamiliar) -> str:
    """Return `patch`, `coven-code` or `command`."""
    return familiar.runtime if isinstance(familiar.runtime, str) else "command"


def needs_gateway(familiar: PlannedFamiliar, ports: RuntimePorts) -> bool:
    """Whether a gateway is opened for a familiar: it names a model, and the job was given a key.

    Raises:
        RuntimeFault: `missing-model-key`: coven-code cannot work without one.
    """
    kind = runtime_kind(familiar)
    if kind == "coven-code" and not ports.model_key:
        raise RuntimeFault("missing-model-key", "The familiar needs a model, and the job was given no model key.")
    return kind != "patch" and bool(ports.model_key) and bool(familiar.model)


def prepare_runtime(
    familiar: PlannedFamiliar, *, turns: int, access: Access, folder: RunFolder, ports: RuntimePorts
) -> Runtime:
    """Return the familiar's runtime, ready to start.

    Raises:
        RuntimeFault: It cannot be installed, is not what it should be, or may not start at this isolation.
    """
    kind = runtime_kind(familiar)
    if kind == "patch":
        return _prepare_patch(folder, ports)
    if kind == "coven-code":
        return _prepare_coven_code(familiar, turns=turns, access=access, folder=folder, ports=ports)
    return _prepare_command(familiar, access, folder, ports)


def _contract_arguments(folder: RunFolder) -> tuple[str, ...]:
    return ("--headless", "--context", str(folder.brief), "--output", str(folder.result))


def _environment(folder: RunFolder, ports: RuntimePorts, additions: Mapping[str, str] | None = None) -> dict[str, str]:
    tools = ports.confinement.find_tools()
    return runtime_environment(
        path=tools.environment["PATH"],
        home=str(folder.home),
        temporary=str(folder.temporary),
        additions={**tools.environment, **(additions or {})},
    )


def _binds(folder: RunFolder, ports: RuntimePorts, *further: Bind) -> tuple[Bind, ...]:
    return (*folder.binds, *ports.confinement.find_tools().binds, *further)


def _prepare_patch(folder: RunFolder, ports: RuntimePorts) -> Runtime:
    return Runtime(
        name="patch",
        version="built in",
        argv=(*ports.patch_program, *_contract_arguments(folder)),
        environment=_environment(folder, ports),
        capabilities={},
        binds=_binds(folder, ports, *ports.patch_binds),
    )


def _prepare_command(familiar: PlannedFamiliar, access: Access, folder: RunFolder, ports: RuntimePorts) -> Runtime:
    # What the command names by an absolute path is what the configuration of the default branch wants it to have.
    named = tuple(Bind(word) for word in familiar.runtime if word.startswith("/") and Path(word).exists())
    return Runtime(
        name=familiar.runtime[0],
        version="unknown",
        argv=(*familiar.runtime, *_contract_arguments(folder)),
        environment=_environment(folder, ports, {**_point_to_gateway(access), **_open_tunnels(familiar, access)}),
        capabilities={},
        binds=_binds(folder, ports, *named),
    )


def _point_to_gateway(access: Access) -> dict[str, str]:
    """Return the variables by which the providers' own client libraries find the model and a key.

    https://docs.anthropic.com/en/api/client-sdks and https://github.com/openai/openai-python#readme
    """
    if access.address is None:
        return {}
    return {
        "ANTHROPIC_BASE_URL": access.address,
        "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
        "OPENAI_BASE_URL": f"{access.address}/v1",
        "OPENAI_API_KEY": PLACEHOLDER_KEY,
    }


def _open_tunnels(familiar: PlannedFamiliar, access: Access) -> dict[str, str]:
    """Return the variables that lead to the familiar's own hosts, through the gateway."""
    if access.address is None or not familiar.hosts:
        return {}
    proxy = {"HTTPS_PROXY": access.address, "https_proxy": access.address}
    return {**proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _prepare_coven_code(
    familiar: PlannedFamiliar, *, turns: int, access: Access, folder: RunFolder, ports: RuntimePorts
) -> Runtime:
    program = ports.install()
    bind = Bind(str(program))
    capabilities = parse_capabilities(*(_ask(program, question, folder, ports) for question in ("--version", "--help")))
    launch = decide_launch(
        capabilities,
        mode="full" if familiar.mode == "full" else "repair",
        isolation=access.level,
        model=familiar.model or "",
        max_turns=turns,
        access=ModelAccess(api_key=PLACEHOLDER_KEY, api_base=access.address),
        brief_path=str(folder.brief),
        result_path=str(folder.result),
    )
    settings = folder.home / ".coven-code" / SETTINGS_FILE
    settings.touch(mode=0o600, exist_ok=False)
    settings.write_text(json.dumps(launch.settings), encoding="utf-8")
    return Runtime(
        name="coven-code",
        version=capabilities.version,
        argv=(str(program), *launch.argv_tail),
        environment=_environment(folder, ports, {**launch.environment, **_open_tunnels(familiar, access)}),
        capabilities={**capabilities.model_dump(mode="json"), "launched_as": launch.mode},
        binds=_binds(folder, ports, bind),
    )


def _ask(program: Path, question: str, folder: RunFolder, ports: RuntimePorts) -> bytes:
    """Return what the program prints about itself. There is no gateway yet, and nothing but its own folder."""
    request = SandboxRequest(
        argv=(str(program), question),
        environment=_environment(folder, ports),
        folder=str(folder.temporary),
        binds=_binds(folder, ports, Bind(str(program)))[1:],
    )
    report = ports.confinement.run(request, limits=PROBE_LIMITS, write=_drop).process
    if report.exit_code != 0:
        raise RuntimeFault("runtime-not-supported", f"The program does not answer {question}.")
    return report.stdout_tail


def _drop(chunk: bytes) -> None:
    """Let the output go: only stdout counts here, and the report holds its end. A warning on stderr is none of the answer."""
    del chunk
