"""Which folders of a machine become visible, by the environments of the runners that there are."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.sandbox.request import Bind
from coven_action.core.sandbox.toolchains import (
    COMPANIONS,
    CREDENTIAL_FOLDERS,
    DEFAULT_PATH,
    HOME_FOLDERS,
    LIST_VARIABLES,
    PLAIN_VARIABLES,
    RUNNER_FOLDERS,
    SECRET_NAMES,
    TOOL_VARIABLES,
    Folder,
    Surroundings,
    choose_tools,
    is_harmless_configuration,
    list_places,
    list_tool_binds,
)

HOME = "/home/runner"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
WORK = f"{HOME}/work"
HOSTED = {
    "HOME": HOME,
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GITHUB_WORKSPACE": f"{WORK}/project/project",
    "RUNNER_WORKSPACE": f"{WORK}/project",
    "RUNNER_TEMP": f"{WORK}/_temp",
    "RUNNER_TOOL_CACHE": "/opt/hostedtoolcache",
    "GITHUB_ENV": f"{WORK}/_temp/_runner_file_commands/set_env_1",
    "GITHUB_ACTION_PATH": f"{WORK}/_actions/owner/name/v1",
}


def look(environment, *, homes=(HOME,), links=None, names=None, missing=(), closed=()):
    """A machine that has every folder that is asked about, but for the `missing`; `links` maps a path to its real one."""
    links, names = links or {}, names or {}

    def resolve(path):
        for link, real in links.items():
            if path == link or path.startswith(f"{link}/"):
                return real + path[len(link) :]
        return path

    return Surroundings(
        folders={
            path: Folder(resolve(path), frozenset(names.get(path, ())))
            for path in list_places(environment, homes, closed)
            if path not in missing
        },
        homes=homes,
        system=SYSTEM,
        closed=tuple(closed),
    )


def choose(environment, **machine):
    return choose_tools(environment, look(environment, **machine))


def bind(path=None, *, also=None, cache="", **machine):
    """The folders that become visible for one entry of PATH, and for one variable."""
    environment = HOSTED | {"RUNNER_TOOL_CACHE": cache} | (also or {})
    if path is not None:
        environment["PATH"] = f"{path}:/usr/bin"
    return [bound.path for bound in list_tool_binds(environment, look(environment, **machine))]


# --- what becomes visible


@pytest.mark.parametrize(
    ("entry", "bound"),
    [
        ("/opt/hostedtoolcache/Python/3.11.9/x64/bin", ["/opt/hostedtoolcache/Python/3.11.9/x64"]),
        ("/opt/hostedtoolcache/Python/3.11.9/x64", ["/opt/hostedtoolcache/Python/3.11.9/x64"]),
        ("/opt/hostedtoolcache/go/1.24.4/x64/bin/", ["/opt/hostedtoolcache/go/1.24.4/x64"]),
        (f"{HOME}/.nvm/versions/node/v22.1.0/bin", [f"{HOME}/.nvm/versions/node/v22.1.0"]),
        (f"{HOME}/.ghcup/bin", [f"{HOME}/.ghcup"]),
        (f"{HOME}/.dotnet/tools", [f"{HOME}/.dotnet/tools"]),
        (f"{HOME}/.pyenv/shims", [f"{HOME}/.pyenv"]),
        ("/home/linuxbrew/.linuxbrew/bin", ["/home/linuxbrew/.linuxbrew"]),
        ("/opt/pipx_bin", ["/opt/pipx_bin", "/opt/pipx"]),
        (f"{HOME}/setup-pnpm/node_modules/.bin", [f"{HOME}/setup-pnpm/node_modules"]),
        ("/tmp/tool/bin", ["/tmp/tool"]),
        # The folder above is more than one tool, or holds credentials: the programs alone.
        ("/opt/bin", ["/opt/bin"]),
        (f"{HOME}/bin", [f"{HOME}/bin"]),
        (f"{HOME}/.cargo/bin", [f"{HOME}/.cargo/bin", f"{HOME}/.rustup"]),
        (f"{HOME}/.local/bin", [f"{HOME}/.local/bin", *(f"{HOME}/{name}" for name in COMPANIONS[".local/bin"])]),
        # Nothing that every sandbox has.
        ("/usr/local/bin", []),
        ("/usr/share/swift/usr/bin", []),
        ("/bin", []),
    ],
)
def test_a_folder_of_programs_brings_what_these_need(entry, bound):
    assert bind(entry) == bound


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JAVA_HOME", "/opt/java/21"),
        ("JAVA_HOME_21_X64", "/opt/java/21"),
        ("GOROOT", "/opt/go"),
        ("GOROOT_1_24_X64", "/opt/hostedtoolcache/go/1.24.4/x64"),
        ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
        ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache/"),
        ("AGENT_TOOLSDIRECTORY", "/opt/hostedtoolcache"),
        ("VIRTUAL_ENV", "/opt/venv"),
        ("RUSTUP_HOME", f"{HOME}/.rustup"),
        ("LD_LIBRARY_PATH", "/opt/hostedtoolcache/Python/3.11.9/x64/lib"),
    ],
)
def test_a_variable_that_names_a_tool_brings_it_and_travels(name, value):
    environment = {"PATH": "/usr/bin", name: value}
    tools = choose(environment)

    assert tools.binds == (Bind(value.rstrip("/")),)
    assert tools.environment == {"PATH": "/usr/bin", name: value.rstrip("/")}


def test_programs_that_only_call_what_lies_beside_them_come_with_it_or_not_at_all():
    assert bind(f"{HOME}/.pyenv/shims", names={f"{HOME}/.pyenv": {".git"}}) == []
    assert bind(f"{HOME}/shims") == []


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("", True),
        ('[core]\n\tbare = false\n[remote "origin"]\n\turl = https://github.com/pyenv/pyenv.git\n', True),
        ('[remote "origin"]\n\turl = https://person:ghp_x@github.com/pyenv/pyenv.git\n', False),
        ('[remote "origin"]\n\turl = git@github.com:pyenv/pyenv.git\n', False),
        ('[http "https://github.com/"]\n\textraHeader = AUTHORIZATION: basic eA==\n', False),
        ("[credential]\n\thelper = store\n", False),
        ('[includeIf "gitdir:/x"]\n\tpath = /runner/_temp/git-credentials-1.config\n', False),
        ("[http]\n\tcookieFile = /home/x/.cookies\n", False),
        ("[core]\n\taskPass = /x\n", False),
    ],
)
def test_which_configuration_of_a_clone_can_hold_a_credential(text, harmless):
    assert is_harmless_configuration(text) is harmless


def test_every_bind_is_for_reading_alone():
    environment = HOSTED | {"PATH": f"{HOME}/.cargo/bin:/opt/x/bin:/usr/bin", "JAVA_HOME": "/opt/java"}

    assert not any(bound.writable for bound in choose(environment).binds)


def test_what_lies_in_another_bind_needs_none():
    path = "/opt/hostedtoolcache/Python/3.11.9/x64/bin"

    assert bind(path, cache="/opt/hostedtoolcache") == ["/opt/hostedtoolcache"]


def test_what_is_not_there_is_not_bound():
    assert bind("/opt/tool/bin", missing={"/opt/tool", "/opt/tool/bin"}) == []


def test_a_tool_behind_a_link_exists_by_both_paths():
    assert bind("/opt/java/current/bin", links={"/opt/java/current": "/data/java/21"}) == [
        "/opt/java/current",
        "/data/java/21",
    ]
    assert bind("/usr/local/go/bin", links={"/usr/local/go": "/opt/go"}) == ["/opt/go"]


def test_a_container_has_its_tools_where_its_runner_keeps_its_own():
    environment = {
        "HOME": "/github/home",
        "PATH": "/opt/venv/bin:/__t/node/22/x64/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": "/opt/venv",
        "GITHUB_WORKSPACE": "/__w/project/project",
        "RUNNER_TEMP": "/__w/_temp",
        "RUNNER_TOOL_CACHE": "/__t",
    }
    tools = choose(environment, homes=("/github/home", "/root"))

    assert [bound.path for bound in tools.binds] == ["/opt/venv", "/__t/node/22/x64"]
    assert tools.environment["PATH"] == environment["PATH"]
    assert tools.environment["VIRTUAL_ENV"] == "/opt/venv"


def test_the_tool_cache_may_lie_in_the_work_folder_of_a_runner_of_ones_own():
    work = "/srv/runner/_work"
    own = {
        "GITHUB_WORKSPACE": f"{work}/project/project",
        "RUNNER_WORKSPACE": f"{work}/project",
        "RUNNER_TEMP": f"{work}/_temp",
        "GITHUB_ENV": f"{work}/_temp/_runner_file_commands/set_env",
    }

    assert bind(f"{work}/_tool/node/22/bin", also=own, cache=f"{work}/_tool") == [f"{work}/_tool"]
    assert bind(f"{work}/other/bin", also=own, cache=f"{work}/_tool") == [f"{work}/_tool"]
    assert bind(f"{work}/_tool/node/22/bin", also=own) == []
    for cache in (work, "/srv/runner", f"{work}/_temp/tools", f"{work}/project"):
        assert bind(f"{work}/_tool/node/22/bin", also=own, cache=cache) == []


# --- what never does


@pytest.mark.parametrize(
    "entry",
    [
        HOME,
        "/home",
        "/home/other",
        "/home/other/",
        "/Users/other",
        "/opt",
        "/srv",
        "/",
        "",
        ".",
        "bin",
        ".venv/bin",
        "node_modules/.bin",
        "../bin",
        "~/bin",
        "/opt/../home/runner/bin",
        "/opt//tool",
        "/opt/./tool",
        "/etc/alternatives",
        "/proc/self/cwd",
        "/sys/kernel/bin",
        "/dev/shm/bin",
        "/run/user/1001/fnm_multishells/1_2/bin",
        "/snap/bin",
        *[f"{HOME}/{name}" for name in HOME_FOLDERS],
        *[f"{HOME}/{name}/bin" for name in sorted(CREDENTIAL_FOLDERS)],
        *[f"/srv/tools/{name}" for name in sorted(CREDENTIAL_FOLDERS)],
        f"{HOME}/.config/composer/vendor/bin",
        f"{HOME}/.local/share/keyrings/bin",
        WORK,
        f"{WORK}/_temp",
        f"{WORK}/_temp/tool/bin",
        f"{WORK}/_actions/owner/name/v1/bin",
        f"{WORK}/_actions/other/name/v2/bin",
        f"{WORK}/project",
        f"{WORK}/project/project",
        f"{WORK}/project/project/.venv/bin",
        f"{WORK}/project/project/node_modules/.bin",
        f"{WORK}/project/other/bin",
        f"{WORK}/another/another/bin",
        "/srv/_actions/bin",
        "/srv/_temp/bin",
    ],
)
def test_a_place_that_is_no_tools_own_is_refused(entry):
    assert bind(entry) == []
    environment = HOSTED | {"PATH": f"{entry}:/usr/bin", "JAVA_HOME": entry}
    assert choose(environment).environment["PATH"] == "/usr/bin"
    assert "JAVA_HOME" not in choose(environment).environment


@pytest.mark.parametrize(
    "real",
    [
        HOME,
        f"{HOME}/.ssh",
        f"{HOME}/.config/gcloud",
        f"{WORK}/project/project",
        f"{WORK}/_temp",
        "/home/other",
        "/run/x",
    ],
)
def test_a_link_to_such_a_place_is_refused(real):
    assert bind("/opt/tool", links={"/opt/tool": real}) == []
    assert bind("/usr/local/tool", links={"/usr/local/tool": real}) == []


@pytest.mark.parametrize(
    ("place", "real"), [("GITHUB_WORKSPACE", "/data/project"), ("RUNNER_TEMP", "/data/temp"), ("HOME", "/data/home")]
)
def test_a_place_behind_a_link_is_refused_by_its_real_path_as_well(place, real):
    for entry in (real, f"{real}/bin") if place != "HOME" else (real,):
        assert bind(entry, links={HOSTED[place]: real}) == []


@pytest.mark.parametrize("name", sorted(SECRET_NAMES))
def test_a_folder_with_credentials_in_it_is_refused_and_its_programs_are_not(name):
    names = {"/opt/tool": {name}}

    assert bind("/opt/tool/bin", names=names) == ["/opt/tool/bin"]
    assert bind("/opt/tool", names=names) == []
    assert bind(also={"GOROOT": "/opt/tool"}, names=names) == []


def test_folders_of_ours_are_refused_and_so_is_what_holds_them():
    assert bind("/srv/tools/bin", closed=("/srv/tools/coven-run",)) == ["/srv/tools/bin"]
    assert bind("/srv/tools/coven-run/bin", closed=("/srv/tools/coven-run",)) == []
    assert bind("/srv/tools", closed=("/data/run",), links={"/data/run": "/srv/tools/run"}) == []


def test_a_runner_that_names_no_places_closes_none():
    environment = {"PATH": "/opt/tool/bin", "RUNNER_TEMP": "/srv/x/temporary"}

    assert list_tool_binds(environment, look(environment)) == (Bind("/opt/tool"),)


# --- which variables travel

SECRETS = {
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "/opt/tool",
    "ACTIONS_RUNTIME_TOKEN": "a",
    "ACTIONS_CACHE_URL": "a",
    "ANTHROPIC_API_KEY": "a",
    "AWS_SECRET_ACCESS_KEY": "a",
    "CARGO_HOME": "/opt/tool",
    "CARGO_REGISTRY_TOKEN": "a",
    "COVEN_INPUT_GITHUB_TOKEN": "a",
    "COVEN_INPUT_MODEL_API_KEY": "a",
    "GH_TOKEN": "a",
    "GITHUB_ENV": "/opt/tool",
    "GITHUB_OUTPUT": "/opt/tool",
    "GITHUB_PATH": "/opt/tool",
    "GITHUB_STATE": "/opt/tool",
    "GITHUB_STEP_SUMMARY": "/opt/tool",
    "GITHUB_TOKEN": "a",
    "GITHUB_WORKSPACE": "/opt/tool",
    "GIT_SSL_CAINFO": "/opt/tool",
    "HOME": "/opt/tool",
    "HTTPS_PROXY": "http://user:password@proxy",
    "JAVA_HOME_TOKEN": "/opt/tool",
    "JAVA_TOOL_OPTIONS": "-javaagent:/opt/tool",
    "LC_TOKEN": "a",
    "LD_PRELOAD": "/opt/tool",
    "NODE_AUTH_TOKEN": "a",
    "NODE_OPTIONS": "a",
    "NPM_TOKEN": "a",
    "PYTHONPATH": "/opt/tool",
    "RUNNER_TEMP": "/opt/tool",
    "SSH_AUTH_SOCK": "/opt/tool",
    "TMPDIR": "/opt/tool",
}


def test_no_other_variable_travels():
    environment = SECRETS | {"PATH": "/usr/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "CI": "true", "TZ": "UTC"}

    assert choose(environment).environment == {
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "CI": "true",
        "TZ": "UTC",
    }


def test_no_name_that_travels_is_that_of_a_secret_or_of_what_the_runner_reads():
    names = {*TOOL_VARIABLES, *LIST_VARIABLES, *PLAIN_VARIABLES}

    assert not {name for name in names if re.search(r"TOKEN|KEY|SECRET|PASS|AUTH|CREDENTIAL|ACTIONS|GITHUB|TEMP", name)}


def test_the_search_path_keeps_its_order_and_what_exists_inside():
    path = f"/opt/a/bin:{HOME}:/usr/local/bin:.venv/bin::{WORK}/_temp/bin:/opt/b/bin:/usr/bin:/opt/missing/bin"
    missing = {"/opt/missing", "/opt/missing/bin"}

    assert choose(HOSTED | {"PATH": path}, missing=missing).environment["PATH"] == (
        "/opt/a/bin:/usr/local/bin:/opt/b/bin:/usr/bin"
    )


@pytest.mark.parametrize(
    ("path", "chosen"), [(None, DEFAULT_PATH), ("", DEFAULT_PATH), ("/opt/tool/bin", f"/opt/tool/bin:{DEFAULT_PATH}")]
)
def test_the_systems_programs_are_always_found(path, chosen):
    environment = {} if path is None else {"PATH": path}

    assert choose(environment).environment == {"PATH": chosen}


def test_a_list_of_libraries_keeps_what_exists_inside():
    tools = choose({"PATH": "/usr/bin", "LD_LIBRARY_PATH": f"/opt/tool/lib:lib:{HOME}:/usr/lib"})

    assert tools.environment["LD_LIBRARY_PATH"] == "/opt/tool/lib:/usr/lib"
    assert "PKG_CONFIG_PATH" not in choose({"PATH": "/usr/bin", "PKG_CONFIG_PATH": HOME}).environment


def test_rustup_is_told_where_it_is_since_the_home_inside_is_another():
    environment = {"PATH": f"{HOME}/.cargo/bin:/usr/bin"}

    assert choose(environment).environment["RUSTUP_HOME"] == f"{HOME}/.rustup"
    assert choose(environment | {"RUSTUP_HOME": "/opt/rust"}).environment["RUSTUP_HOME"] == "/opt/rust"
    assert "RUSTUP_HOME" not in choose(environment, missing={f"{HOME}/.rustup"}).environment
    assert "RUSTUP_HOME" not in choose({"PATH": "/usr/bin"}).environment


def test_an_entry_whose_link_leads_out_of_what_is_bound_is_left_out():
    tools = choose(
        {"PATH": "/opt/tool/bin:/usr/bin", "JAVA_HOME": "/opt/tool"}, links={"/opt/tool/bin": f"{HOME}/.ssh"}
    )

    assert tools.binds == (Bind("/opt/tool"),)
    assert tools.environment["PATH"] == "/usr/bin"


def test_the_names_of_the_runners_folders_are_those_of_the_runner():
    # https://github.com/actions/runner/blob/main/src/Runner.Common/Constants.cs
    assert {"_actions", "_temp"} == RUNNER_FOLDERS


NAMES = (
    *(
        "home",
        "runner",
        "other",
        "opt",
        "srv",
        "tool",
        "bin",
        "shims",
        "usr",
        "local",
        "etc",
        "run",
        "tmp",
        "work",
        "project",
    ),
    *(
        "_temp",
        "_actions",
        "_tool",
        ".ssh",
        ".config",
        ".cargo",
        ".local",
        "share",
        "keyrings",
        ".rustup",
        ".git",
        ".",
        "..",
        "",
    ),
)
PLACES = (HOME, HOSTED["GITHUB_WORKSPACE"], HOSTED["RUNNER_TEMP"], HOSTED["GITHUB_ACTION_PATH"])
PATHS = st.one_of(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=6).map(lambda names: "/" + "/".join(names)),
    st.builds(
        str.__add__, st.sampled_from([*PLACES, WORK, f"{WORK}/project"]), st.sampled_from(["", "/bin", "/x/bin"])
    ),
)


@given(
    entries=st.lists(PATHS, max_size=5),
    variables=st.dictionaries(st.sampled_from(["JAVA_HOME", "RUNNER_TOOL_CACHE", "LD_LIBRARY_PATH"]), PATHS),
    links=st.dictionaries(PATHS, PATHS, max_size=3),
)
def test_whatever_the_environment_and_the_links_are_nothing_else_becomes_visible(entries, variables, links):
    environment = HOSTED | variables | {"PATH": ":".join(entries)}
    machine = look(environment, links=links)
    homes = {HOME, machine.folders[HOME].real}
    for bound in choose_tools(environment, machine).binds:
        for path in {bound.path, machine.folders[bound.path].real if bound.path in machine.folders else bound.path}:
            parts = PurePosixPath(path).parts
            if not bound.writable and parts[1] in {"usr", "bin", "sbin", "lib", "lib64"}:
                continue
            assert not {".ssh", ".config", "keyrings", ".git", "_temp", "_actions", ".", ".."} & set(parts)
            assert len(parts) > 2
            assert parts[1] not in {"etc", "run", "proc", "sys", "dev"}
            for place in {
                *PLACES,
                *(machine.folders[place].real for place in PLACES if place in machine.folders),
            } - homes:
                assert not PurePosixPath(place).is_relative_to(path)
                assert not PurePosixPath(path).is_relative_to(place)
            assert not any(PurePosixPath(home).is_relative_to(path) for home in homes)
        assert not bound.writable
