"""Make a familiar's runtime ready to start: which program, which arguments, which surroundings. Decisions are `core`'s.

Each kind of runtime has one function; a runtime that is not in the table cannot be started.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coven_action.core.contract.coven_code import (
    ModelAccess,
    decide_launch,
    parse_capabilities,
    runtime_environment,
)
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.documents import PlannedFamiliar
from coven_action.core.isolation import IsolationLevel
from coven_action.errors import RuntimeFault
from coven_action.stages.ports import ProcessRunner, RuntimeInstaller

PROBE_LIMITS: Final = ProcessLimits(seconds=20.0, kept_bytes=512 * 1024, hard_bytes=8 * 1024 * 1024, grace_seconds=1.0)
SETTINGS_FILE: Final = "settings.json"


@dataclass(frozen=True, slots=True)
class RuntimePorts:
    """What runtimes need of the outside.

    Attributes:
        run_process: Starts programs.
        install: Finds coven-code.
        patch_program: How the built-in `patch` runtime is started.
        search_path: `PATH` for the runtime.
        model_key: The model's key, None where the job was given none.
    """

    run_process: ProcessRunner
    install: RuntimeInstaller
    patch_program: tuple[str, ...]
    search_path: str
    model_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run, outside the workspace: a fresh home, temporary files, brief and result."""

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
        """Where the runtime writes its result."""
        return self.root / "result.json"

    def create(self) -> None:
        """Make the folders. What an earlier attempt left is gone by then."""
        for folder in (self.home / ".coven-code", self.temporary):
            folder.mkdir(parents=True)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that is ready to start."""

    name: str
    version: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    capabilities: Mapping[str, Any]


def runtime_kind(familiar: PlannedFamiliar) -> str:
    """Return `patch`, `coven-code` or `command`."""
    return familiar.runtime if isinstance(familiar.runtime, str) else "command"


def prepare_runtime(
    familiar: PlannedFamiliar, *, turns: int, isolation: IsolationLevel, folder: RunFolder, ports: RuntimePorts
) -> Runtime:
    """Return the familiar's runtime, ready to start.

    Raises:
        RuntimeFault: It cannot be installed, is not what it should be, or may not start at this isolation.
    """
    kind = runtime_kind(familiar)
    if kind == "patch":
        return _prepare_patch(folder, ports)
    if kind == "coven-code":
        return _prepare_coven_code(familiar, turns=turns, isolation=isolation, folder=folder, ports=ports)
    return _prepare_command(familiar, folder, ports)


def _contract_arguments(folder: RunFolder) -> tuple[str, ...]:
    return ("--headless", "--context", str(folder.brief), "--output", str(folder.result))


def _environment(folder: RunFolder, ports: RuntimePorts, additions: Mapping[str, str] | None = None) -> dict[str, str]:
    return runtime_environment(
        path=ports.search_path, home=str(folder.home), temporary=str(folder.temporary), additions=additions
    )


def _prepare_patch(folder: RunFolder, ports: RuntimePorts) -> Runtime:
    return Runtime(
        name="patch",
        version="built in",
        argv=(*ports.patch_program, *_contract_arguments(folder)),
        environment=_environment(folder, ports),
        capabilities={},
    )


def _prepare_command(familiar: PlannedFamiliar, folder: RunFolder, ports: RuntimePorts) -> Runtime:
    # The model key is not handed over: only coven-code's settings file is known to be the right place for it.
    return Runtime(
        name=familiar.runtime[0],
        version="unknown",
        argv=(*familiar.runtime, *_contract_arguments(folder)),
        environment=_environment(folder, ports),
        capabilities={},
    )


def _prepare_coven_code(
    familiar: PlannedFamiliar, *, turns: int, isolation: IsolationLevel, folder: RunFolder, ports: RuntimePorts
) -> Runtime:
    if not ports.model_key:
        raise RuntimeFault("missing-model-key", "The familiar needs a model, and the job was given no model key.")
    program = ports.install()
    capabilities = parse_capabilities(_ask(program, "--version", folder, ports), _ask(program, "--help", folder, ports))
    launch = decide_launch(
        capabilities,
        mode="repair",
        isolation=isolation,
        model=familiar.model or "",
        max_turns=turns,
        access=ModelAccess(api_key=ports.model_key),
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
        environment=_environment(folder, ports, launch.environment),
        capabilities={**capabilities.model_dump(mode="json"), "launched_as": launch.mode},
    )


def _ask(program: Path, question: str, folder: RunFolder, ports: RuntimePorts) -> bytes:
    """Return what the program prints about itself. It gets no key: the settings are written afterwards."""
    report = ports.run_process(
        (str(program), question),
        environment=_environment(folder, ports),
        cwd=folder.temporary,
        limits=PROBE_LIMITS,
        write=_drop,
    )
    if report.exit_code != 0:
        raise RuntimeFault("runtime-not-supported", f"The program does not answer {question}.")
    return report.stdout_tail


def _drop(chunk: bytes) -> None:
    """Let the output go: only stdout counts here, and the report holds its end. A warning on stderr is none of the answer."""
    del chunk
