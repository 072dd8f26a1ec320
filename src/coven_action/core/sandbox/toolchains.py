"""Which tools of this machine a confined program may use beside the system's own: folders, and variables naming them. Pure.

The steps of a job before ours set up compilers and interpreters in folders of their own, and tell of them by `PATH` and by
variables. Here it is decided which of these folders exist inside, read-only, and which variables travel. Whatever is not
listed stays outside. A folder is refused where it is, holds or belongs to a home, the checkout, the runner's own files or
credentials, and where a link leads to such a place; the folder of the programs alone is then tried in its stead. What lies
in the checkout is not a tool: the program works in a copy, and is to find its own there.

What a folder holds is looked at on its first level only: https://docs.github.com/en/actions/reference/variables-reference
names the folders of the runner, and tools keep their credentials directly below the folder that they are set up in.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from coven_action.core.sandbox.request import Bind, is_plain_path

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROGRAM_FOLDERS: Final = frozenset({".bin", "bin", "condabin", "sbin", "shims"})
"""Names of folders that hold a tool's programs: what these need lies beside them, so the folder above is wanted."""
SHIMS: Final = "shims"
"""The one among them whose programs do nothing but call what lies beside: without that the system's own are better."""
TOOL_VARIABLES: Final = frozenset(
    {
        *("ANDROID_HOME", "ANDROID_SDK_ROOT", "ANDROID_NDK_HOME", "ANT_HOME", "CONDA", "CONDA_PREFIX", "DOTNET_ROOT"),
        *("GOROOT", "GRADLE_HOME", "JAVA_HOME", "M2_HOME", "MAVEN_HOME", "NVM_DIR", "PYENV_ROOT"),
        *("Python_ROOT_DIR", "Python2_ROOT_DIR", "Python3_ROOT_DIR", "pythonLocation", "RBENV_ROOT", "RUSTUP_HOME"),
        *("SDKMAN_DIR", "SWIFT_PATH", "VCPKG_INSTALLATION_ROOT", "VIRTUAL_ENV", "AGENT_TOOLSDIRECTORY"),
        "RUNNER_TOOL_CACHE",
    }
)
"""Variables that name one folder; the ones that name a folder to be written to, as CARGO_HOME does, are not among them."""
_CREDENTIAL_KEYS: Final = re.compile(r"@|extraheader|credential|include|askpass|cookie|token|password", re.IGNORECASE)
# JAVA_HOME_21_X64 and GOROOT_1_24_X64 of GitHub's own images: https://github.com/actions/runner-images
_TOOL_VARIABLE: Final = re.compile(r"(?:JAVA_HOME|GOROOT)_[0-9]+(?:_[0-9]+)?_(?:X64|x64|ARM64|arm64)")
LIST_VARIABLES: Final = frozenset({"LD_LIBRARY_PATH", "PKG_CONFIG_PATH"})
"""Variables that name several folders, divided by colons, besides `PATH`."""
PLAIN_VARIABLES: Final = frozenset(
    {
        *("CI", "LANG", "LANGUAGE", "RUNNER_ARCH", "RUNNER_OS", "TZ"),
        *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
    }
)
"""Variables that say what every program may know."""

COMPANIONS: Final = {
    ".cargo/bin": (".rustup",),
    ".local/bin": (
        *(".local/pipx", ".local/share/pipx", ".local/share/pypoetry"),
        *(".local/share/uv/python", ".local/share/uv/tools"),
    ),
}
"""Folder of programs, below a home -> where these programs keep what they run, if it lies elsewhere."""
COMPANIONS_ELSEWHERE: Final = {"/opt/pipx_bin": ("/opt/pipx",)}
"""The same for folders of programs as GitHub's images have them: https://github.com/actions/runner-images."""
RUSTUP: Final = (".rustup", "RUSTUP_HOME")
"""A folder below the home that its program finds by the home, which is another one inside; and the variable that tells."""

CREDENTIAL_FOLDERS: Final = frozenset(
    {
        *(
            ".aws",
            ".azure",
            ".config",
            ".databricks",
            ".docker",
            ".gcloud",
            ".git",
            ".gnupg",
            ".kube",
            ".mozilla",
            ".oci",
        ),
        *(".password-store", ".pki", ".snowflake", ".ssh", ".terraform.d", ".vault", "keyrings"),
    }
)
"""Names of folders in which credentials lie, wherever they stand in a path."""
RUNNER_FOLDERS: Final = frozenset({"_actions", "_temp"})
"""Names of folders of the runner, wherever they stand in a path."""
SECRET_NAMES: Final = frozenset(
    {
        *CREDENTIAL_FOLDERS,
        *(".credentials", ".credentials_rsaparams", ".env", ".git-credentials", ".netrc", ".npmrc", ".pypirc"),
        *(".vault-token", "_netrc", "auth.json", "credentials", "credentials.json", "credentials.toml"),
        *("id_ecdsa", "id_ed25519", "id_rsa"),
    }
)
"""A folder that has one of these on its first level is refused; a `.git` counts unless `is_harmless_configuration`."""
HOME_FOLDERS: Final = (
    *(
        ".bundle",
        ".cache",
        ".cargo",
        ".composer",
        ".gem",
        ".gradle",
        ".local",
        ".local/share",
        ".m2",
        ".nuget",
        ".yarn",
    ),
)
"""Folders below a home that are refused as a whole, for what some program may keep in them; a folder in them may be bound."""
SYSTEM_FOLDERS: Final = frozenset({"boot", "dev", "etc", "proc", "run", "snap", "sys"})
"""Folders of the system, the first in a path, that the sandbox makes for itself or that hold no tool."""
HOMES: Final = frozenset({"home", "Users"})
"""Where homes lie, those of others as well."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine.

    Attributes:
        real: Its path through no link.
        names: Those of `SECRET_NAMES` that it has on its first level.
    """

    real: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of this machine decides about its tools.

    Attributes:
        folders: What `list_places` named and is a folder.
        homes: The home folders of the user that the job runs as.
        system: Folders that exist in every sandbox.
        closed: Folders of ours, which no confined program may look into.
    """

    folders: Mapping[str, Folder]
    homes: tuple[str, ...]
    system: tuple[str, ...]
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a confined program may use of this machine's tools.

    Attributes:
        environment: `PATH`, and the variables by which tools find themselves; no secret.
        binds: The folders that hold them, read-only; none lies in another.
    """

    environment: Mapping[str, str]
    binds: tuple[Bind, ...]


def is_harmless_configuration(text: str) -> bool:
    """Whether the configuration of a clone can hold no credential: several tools are clones of their repository.

    A credential stands in an address, in a header, or where another file or a program says so
    (https://git-scm.com/docs/git-config): so there is no `@` in it, and none of the sections and keys that do.
    """
    return _CREDENTIAL_KEYS.search(text) is None


def list_places(
    environment: Mapping[str, str], homes: Collection[str], closed: Collection[str] = ()
) -> tuple[str, ...]:
    """Return every folder that has to be looked at before `choose_tools` can decide."""
    wishes = [path for wish in _list_wishes(environment, homes) for path in wish]
    return tuple(
        dict.fromkeys((*wishes, *_list_closed(environment), *_find_work_folders(environment), *homes, *closed))
    )


def choose_tools(environment: Mapping[str, str], surroundings: Surroundings) -> Tools:
    """Return the tools of a machine.

    Args:
        environment: The job's variables.
        surroundings: What was found at the places of `list_places`.
    """
    binds = list_tool_binds(environment, surroundings)
    return Tools(choose_tool_environment(environment, surroundings, binds), binds)


def list_tool_binds(environment: Mapping[str, str], surroundings: Surroundings) -> tuple[Bind, ...]:
    """Return the folders outside the system's own that hold the job's tools, read-only."""
    chosen: dict[str, None] = {}
    for wish in _list_wishes(environment, surroundings.homes):
        path = next((path for path in wish if _is_open(path, environment, surroundings)), None)
        if path is not None:
            # A program may know its own folder by either path.
            chosen |= dict.fromkeys((path, surroundings.folders[path].real))
    wanted = [path for path in chosen if not _is_within(path, surroundings.system)]
    return tuple(Bind(path) for path in wanted if not _is_below(path, wanted))


def choose_tool_environment(
    environment: Mapping[str, str], surroundings: Surroundings, binds: Collection[Bind]
) -> dict[str, str]:
    """Return the variables that travel: `PATH` always, the others where they say something that is true inside.

    Args:
        environment: The job's variables.
        surroundings: What was found on this machine.
        binds: What `list_tool_binds` chose.
    """
    there = (*surroundings.system, *(bind.path for bind in binds))

    def exists(path: str) -> bool:
        folder = surroundings.folders.get(path)
        return folder is not None and _is_within(path, there) and _is_within(folder.real, there)

    path = [entry for entry in _split(environment.get("PATH", "")) if exists(entry)]
    if not any(_is_within(entry, surroundings.system) for entry in path):
        path.append(DEFAULT_PATH)
    chosen = {"PATH": ":".join(path)}
    for name, value in environment.items():
        if _names_tool(name) and exists(_strip(value)):
            chosen[name] = _strip(value)
        elif name in LIST_VARIABLES and (kept := [entry for entry in _split(value) if exists(entry)]):
            chosen[name] = ":".join(kept)
        elif name in PLAIN_VARIABLES:
            chosen[name] = value
    for home in surroundings.homes:
        if exists(f"{home}/{RUSTUP[0]}"):
            chosen.setdefault(RUSTUP[1], f"{home}/{RUSTUP[0]}")
    return chosen


def _names_tool(name: str) -> bool:
    return name in TOOL_VARIABLES or _TOOL_VARIABLE.fullmatch(name) is not None


def _list_wishes(environment: Mapping[str, str], homes: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield what the environment names: for each thing the folders that would do, the more useful first."""
    for entry in _split(environment.get("PATH", "")):
        above, _, name = entry.rpartition("/")
        if name == SHIMS:
            yield (above,)
        else:
            yield (above, entry) if name in PROGRAM_FOLDERS and above else (entry,)
        yield from ((companion,) for companion in COMPANIONS_ELSEWHERE.get(entry, ()))
        for home in homes:
            for companion in COMPANIONS.get(entry.removeprefix(f"{home}/"), ()):
                yield (f"{home}/{companion}",)
    for name, value in environment.items():
        if _names_tool(name) and is_plain_path(_strip(value)):
            yield (_strip(value),)
        elif name in LIST_VARIABLES:
            yield from ((entry,) for entry in _split(value))


def _split(value: str) -> list[str]:
    """Return the folders of a list; one that depends on where a program works, or leads elsewhere, is none."""
    return [entry for entry in map(_strip, value.split(":")) if is_plain_path(entry)]


def _strip(path: str) -> str:
    return path.rstrip("/")


def _is_open(path: str, environment: Mapping[str, str], surroundings: Surroundings) -> bool:
    """Whether a folder exists and may be shown to a program that is hostile."""
    folder = surroundings.folders.get(path)
    if folder is None or folder.names or not is_plain_path(folder.real):
        return False
    return not any(
        _belongs_to_system(name)
        or _belongs_to_home(name, surroundings)
        or _belongs_to_job(name, environment, surroundings)
        for name in (path, folder.real)
        if not _is_within(name, surroundings.system)
    )


def _belongs_to_system(path: str) -> bool:
    first, *others = path.removeprefix("/").split("/")
    # A folder directly below the root holds more than one tool, and somebody's files besides.
    return not others or first in SYSTEM_FOLDERS or (first in HOMES and len(others) == 1)


def _belongs_to_home(path: str, surroundings: Surroundings) -> bool:
    homes = _with_real(surroundings.homes, surroundings)
    return (
        bool((CREDENTIAL_FOLDERS | RUNNER_FOLDERS) & set(path.split("/")))
        or any(_is_within(home, (path,)) for home in homes)
        or any(path == f"{home}/{name}" for home in homes for name in HOME_FOLDERS)
    )


def _belongs_to_job(path: str, environment: Mapping[str, str], surroundings: Surroundings) -> bool:
    """Whether a folder is, holds or lies in what the job works with; the tool cache may lie in the runner's work folder."""
    closed = _with_real((*_list_closed(environment), *surroundings.closed), surroundings)
    if any(_is_within(path, (place,)) or _is_within(place, (path,)) for place in closed):
        return True
    caches = _with_real([_strip(environment.get("RUNNER_TOOL_CACHE", ""))], surroundings)
    work = _with_real(_find_work_folders(environment), surroundings)
    return any(_is_within(place, (path,)) for place in work) or (
        _is_within(path, work) and not any(_is_within(path, (cache,)) for cache in caches if _is_below(cache, work))
    )


def _list_closed(environment: Mapping[str, str]) -> list[str]:
    folders = [environment.get(name, "") for name in ("GITHUB_WORKSPACE", "RUNNER_WORKSPACE", "RUNNER_TEMP")]
    files = [environment.get(name, "") for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_EVENT_PATH")]
    folders += [environment.get("GITHUB_ACTION_PATH", ""), *(file.rpartition("/")[0] for file in files)]
    return [path for path in map(_strip, folders) if is_plain_path(path)]


def _find_work_folders(environment: Mapping[str, str]) -> list[str]:
    """Return the folder in which the runner keeps checkouts, actions and temporary files, where it can be told."""
    work, _, name = _strip(environment.get("RUNNER_TEMP", "")).rpartition("/")
    return [work] if name == "_temp" and is_plain_path(work) else []


def _with_real(paths: Collection[str], surroundings: Surroundings) -> list[str]:
    real = [surroundings.folders[path].real for path in paths if path in surroundings.folders]
    return list(dict.fromkeys((*(path for path in paths if path), *real)))


def _is_within(path: str, folders: Collection[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _is_below(path: str, folders: Collection[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)
