"""Which paths a familiar may not touch under any spelling, what a configuration changes about that, and what needs review."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.verification.path_patterns import fold_path
from coven_action.core.verification.protected_paths import (
    NEVER_OPENED,
    PROTECTED,
    REVIEWED,
    Override,
    Protection,
    find_needing_review,
    find_overridden,
    find_override_mistake,
    find_protected,
    find_straying_links,
)
from tests.core.samples import changed
from tests.fuzzing import examples

BUILT_IN = [pattern for patterns in PROTECTED.values() for pattern in patterns]


def opened(*paths: str, protect: tuple[str, ...] = ()) -> Protection:
    return Protection(protect=protect, overrides=tuple(Override(path=path, reason="because") for path in paths))


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml", ".github", ".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", "AGENTS.md",
        "packages/api/AGENTS.md", "CLAUDE.md", "sub/.claude/settings.json", ".mcp.json", ".cursor/rules/x.mdc",
        ".coven/handoff/x", ".coven-code/x", ".gitattributes", "deep/down/.gitattributes", ".gitmodules", ".git/config",
        "vendor/.git/hooks/pre-commit", ".husky/pre-commit", ".lfsconfig",
        # case
        ".GitHub/workflows/ci.yml", ".GITHUB/x", "codeowners", "agents.MD", ".GitModules",
        # compatibility forms: full-width, small forms, ligatures, the Kelvin sign, the long s
        "\uff0egithub/x", ".\uff47ithub/x", "\ufe52github/x", ".\u210aithub/x", "AGENT\u017f.md", ".\u24d6ithub/x",
        ".cur\u017for/x", ".hus\u212ay/x", "\uff23\uff2f\uff24\uff25\uff2f\uff37\uff2e\uff25\uff32\uff33",
        # trailing dots and spaces, which Windows drops
        ".github./x", ".github /x", ".github. . /x", ".github\u00a0/x", "CODEOWNERS.", "AGENTS.md ", ".github\u3000/x",
        # invisible characters, which HFS+ and readers drop
        ".g\u200cithub/x", ".github\u200b/x", "\ufeff.github/x", ".git\u2060hub/x", ".gi\u00adthub/x", "AGENTS\u200d.md",
        ".g\ufe0fithub/x", ".gith\u034fub/x", ".git\U000e0061hub/x", "AGENTS.md\u3164",
        # separators of other systems, also in full width
        ".github\\workflows\\ci.yml", "a\\.github\\x", ".github\uff3cx", "a\\AGENTS.md", ".github\uff0fx",
        # NTFS streams
        ".github::$INDEX_ALLOCATION/x", "AGENTS.md::$DATA", ".git\uff1ax/config", ".github .:x/y",
    ],
)  # fmt: skip
def test_a_protected_path_is_recognised_under_any_spelling(path):
    assert find_protected((changed(path),)) == (path,)


@pytest.mark.parametrize(
    "path",
    [
        "src/tax.py", "github/x", ".githubber/x", "docs/agents.md.txt", "my-agents.md", "CODEOWNERS.txt", "x.github",
        ".gitignore", "coven/x", ".claude.md.bak", "src/codeowners_parser.py", "a.git/x", "...", ":", "a:b",
    ],
)  # fmt: skip
def test_an_ordinary_path_is_not_protected(path):
    assert find_protected((changed(path),)) == ()


@pytest.mark.parametrize("facts", [{"before": "submodule"}, {"after": "submodule"}])
def test_a_submodule_is_protected_wherever_it_is(facts):
    assert find_protected((changed("src/a.py"), changed("vendor/lib", **facts))) == ("vendor/lib",)


@pytest.mark.parametrize("status", ["added", "modified", "deleted", "type_changed"])
@pytest.mark.parametrize("after", ["absent", "file", "executable", "symlink"])
def test_no_kind_of_change_to_a_protected_path_passes(status, after):
    assert find_protected((changed("AGENTS.md", status=status, after=after),)) == ("AGENTS.md",)


IGNORED = [chr(code) for code in range(0x30000) if unicodedata.category(chr(code)) == "Cf"]


@given(
    st.sampled_from([f"{pattern}/x" for pattern in BUILT_IN if "*" not in pattern]),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(IGNORED)), max_size=4),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from(["", "a/", "a\\", "../", "./", "A/b/"]),
)
@examples(300)
def test_no_mixture_of_case_and_format_characters_opens_a_protected_path(path, inserted, raised, before):
    letters = [letter.upper() if place in raised else letter for place, letter in enumerate(path)]
    for place, character in inserted:
        letters.insert(place, character)
    spelled = before + "".join(letters)

    assert find_protected((changed(spelled),)) == (spelled,)


@pytest.mark.parametrize(
    "path",
    [
        # hooks
        ".githooks/pre-commit", "web/.huskyrc.json", ".lefthook.yml", "lefthook.yml", "lefthook.toml", ".lefthook-local/x",
        ".pre-commit-config.yaml", ".pre-commit-hooks.yaml",
        # agents
        "agent.md", "AGENTS.override.md", "agents.local.md", "CLAUDE.local.md", "GEMINI.md", "docs/copilot-instructions.md",
        ".agents/skills/x/SKILL.md", ".vscode/mcp.json", "a/.vscode/mcp.json", ".cursorrules", ".cursorignore",
        ".windsurfrules", ".windsurf/rules/x.md", ".clinerules", ".clinerules/x.md", ".cline/x", ".gemini/settings.json",
        ".geminiignore", ".codex/config.toml", ".aider.conf.yml", ".aiderignore", ".continue/config.yaml", ".continuerules",
        ".roo/rules/x", ".roomodes", ".roorules-code", ".kilocode/x", ".kiro/steering/x.md", ".junie/guidelines.md",
        ".augment-guidelines", ".amazonq/rules/x.md", ".goosehints", "opencode.json", "opencode.jsonc", ".opencode/x",
        ".openhands/microagents/x", ".qwen/x", "QWEN.md", ".trae/rules/x", "WARP.md", "CRUSH.md", ".rules", ".claude.json",
        ".claude-plugin/plugin.json", ".agent/rules.md", ".agent.md", "docs/.agents.md", ".ruler/instructions.md",
        ".amp/settings.json", ".copilot/x", ".crush.json", ".devin/wiki.json", ".factory/droids/x.md", "GEMINI.local.md",
        ".rooignore", "home/.gitconfig", ".idx/airules.md", ".idx/dev.nix", ".aiassistant/rules/x.md", ".aiignore",
        ".aiexclude", ".tabnine/guidelines/x.md", ".tabnine_commands", ".zencoder/rules/x.md", ".firebender/rules/x.mdc",
        "firebender.json", ".codebuddy/rules/x.md", "CODEBUDDY.md", ".codeiumignore", ".cody/commands.json",
        "a/.vscode/cody.json", ".gitlab/duo/chat-rules.md", "a/.GitLab/Duo/mr-review-instructions.yaml", ".iflow/x",
        "IFLOW.md", ".lingma/rules/x.md", "replit.md", ".rovodev/config.yml", ".rovodevignore", ".goosehints.local",
        # reviewers
        ".coderabbit.yaml", ".coderabbit.yml", "a/.CodeRabbit.YAML", ".pr_agent.toml", ".qodo/best.toml", ".qodo.toml",
        ".sourcery.yaml", ".sourcery.yml", "ellipsis.yaml", "greptile.json", ".greptile/rules.md", "sweep.yaml",
        # 8.3 names, also the hashed ones
        "GITHUB~1/workflows/ci.yml", "git~1/config", "CODEOW~1", "a/CLAUDE~2/settings.json", "GI7EBA~1", "gitmod~3",
        "AIDERC~1.YML", "CURSOR~1", "CURSOR~10", "MCP~1.JSO",
        # the dotless i has the capital of i; what decomposes is joined again
        ".g\u0131thub/x", ".\u0261\u200bithub/x".replace("\u0261", "g"), "CLAUDE.m\u200dd",
        # steps that another system walks
        "src\\..\\.github\\x", "x\\.\\AGENTS.md", ".github\\..\\x",
    ],
)  # fmt: skip
def test_every_agent_and_every_hook_is_covered(path):
    assert find_protected((changed(path),)) == (path,)


PAGE = (Path(__file__).parents[3] / "docs/configuration.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"`([^`]+)`", PAGE.partition("Protected from the start")[2].partition("Links that lead")[0])


@pytest.mark.parametrize("name", DOCUMENTED)
def test_whatever_the_documents_call_protected_is(name):
    path = f"a/{name.replace('*', 'x').rstrip('/')}"

    assert find_protected((changed(path),)) == (path,)


@pytest.mark.parametrize(
    "path",
    [
        ".traefik.yml", ".rootdir", ".clangd", ".ampersand", "src/agents.py", "src/claude.py", "agents.md.j2", "gemini.ts",
        "progra~1/x", "backup~", "x~1", ".vscode/settings.json", "github~/x", "docs/rules", "setup.instructions.txt",
        ".idxs/x", "idx/airules.md", "src/tabnine.py", ".gitlab/merge_request_templates/x.md", "duo/chat-rules.md",
        "replit.md.txt", "coderabbit.yaml", "pr_agent.toml", "src/sweep.py", "ellipsis.yamlx", "greptile.jsonl", ".coderabbit",
    ],
)  # fmt: skip
def test_names_that_only_begin_alike_are_ordinary(path):
    assert find_protected((changed(path),)) == ()


def spell(path, spellings):
    """Return a path that some file system takes for `path`: each letter raised, widened or followed by what is ignored."""
    letters = []
    for letter, (form, ignored) in zip(path, spellings, strict=False):
        wide = chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" and letter != "\\" else letter
        letters.append({0: letter, 1: letter.upper(), 2: wide}[form] + ignored)
    return "".join(letters) + path[len(spellings) :]


SPELLINGS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "", *IGNORED])), max_size=30)
ENDINGS = st.sampled_from(["", ".", " ", ". .", "::$DATA", ":x", "\u00a0", "\u200b.", "/x", "\\x", "/a/../x"])
MIGRATIONS = Protection(protect=("migrations/**",))


@given(
    st.sampled_from([*(pattern.replace("**/", "").replace("*", "x") for pattern in BUILT_IN), "migrations"]),
    SPELLINGS,
    ENDINGS,
    st.sampled_from(["file", "executable", "symlink", "absent"]),
)
@examples(600)
def test_no_spelling_that_some_file_system_folds_to_a_protected_path_passes(path, spellings, ending, after):
    spelled = spell(path, spellings) + ending
    status = "deleted" if after == "absent" else "added"

    assert find_protected((changed(spelled, status=status, after=after),), MIGRATIONS) == (spelled,)


@given(st.sampled_from(NEVER_OPENED), SPELLINGS, ENDINGS)
@examples(300)
def test_no_override_and_no_spelling_opens_what_is_never_opened(path, spellings, ending):
    spelled = spell(path.replace("**/", ""), spellings) + ending
    everything = opened("**", "*", "?*", "*/*", ".git*", ".github/**", "git~1/**", "*~*", ".coven*")

    assert find_protected((changed(spelled),), everything) == (spelled,)


@pytest.mark.parametrize(
    "path", ["GIT~1/config", "GITHUB~1/coven.yml", "COVEN~1/x", "x\\..\\.git\\config", ".GIT::$x/y"]
)
def test_no_other_name_of_what_is_never_opened_is_opened(path):
    assert find_protected((changed(path),), opened("**")) == (path,)


@pytest.mark.parametrize("facts", [{"before": "submodule"}, {"after": "submodule"}])
def test_no_override_opens_a_submodule(facts):
    file = changed("vendor/lib", **facts)

    assert find_protected((file,), opened("**", "vendor/**")) == ("vendor/lib",)
    named = changed("AGENTS.md", **facts)
    assert find_overridden((named,), Override(path="AGENTS.md", reason="x")) == ()


def test_no_override_opens_a_name_that_windows_may_have_shortened():
    file = changed("CLAUDE~1/settings.json")

    assert find_protected((file,), opened("**", ".claude", "claude~1/**", "*~*/*")) == (file.path,)


def test_only_what_is_on_the_built_in_list_is_opened():
    assert find_overridden((changed("src/a.py"), changed("AGENTS.md")), Override(path="**", reason="x")) == (
        "AGENTS.md",
    )


def test_steps_that_another_system_would_walk_lead_to_what_is_protected():
    file = changed("x\\..\\migrations\\1.sql")

    assert find_protected((file,), MIGRATIONS) == (file.path,)


def test_a_configured_path_is_refused_like_a_built_in_one():
    files = tuple(map(changed, ("migrations/1.sql", "Migrations/2.sql", "MIGRAT~1/3.sql", "src/a.py", "AGENTS.md")))

    assert find_protected(files, MIGRATIONS) == ("migrations/1.sql", "Migrations/2.sql", "MIGRAT~1/3.sql", "AGENTS.md")
    assert find_protected(files) == ("AGENTS.md",)


def test_a_path_counts_as_it_stands_and_as_another_system_walks_it():
    assert find_needing_review((changed("package.json\\..\\x"),)) == ("package.json\\..\\x",)
    walked = changed("CLAUDE.md\\..\\x")
    assert find_overridden((walked,), Override(path="CLAUDE.md", reason="x")) == (walked.path,)


def test_both_names_of_a_rename_are_judged():
    renamed = (
        changed("migrations/1.sql", status="deleted", after="absent"),
        changed("old/1.sql", status="added", before="absent"),
    )

    assert find_protected(renamed, MIGRATIONS) == ("migrations/1.sql",)


def test_an_override_opens_what_it_covers_and_nothing_else():
    files = tuple(
        map(changed, ("docs/AGENTS.md", "AGENTS.md", ".claude/x", "docs/CODEOWNERS", ".github/workflows/ci.yml"))
    )

    assert find_protected(files, opened("docs/AGENTS.md")) == files_of(files[1:])
    assert find_protected(files, opened("agents.md", ".Claude/**")) == ("docs/CODEOWNERS", ".github/workflows/ci.yml")
    assert find_protected(files, opened(".github/workflows/*")) == files_of(files[:4])
    assert find_overridden(files, Override(path="AGENTS.md", reason="x")) == ("docs/AGENTS.md", "AGENTS.md")
    assert find_overridden(files, Override(path="src/**", reason="x")) == ()


def files_of(files):
    return tuple(file.path for file in files)


def test_an_override_opens_nothing_that_the_configuration_itself_protects():
    protection = opened("CLAUDE.md", protect=("docs/**",))

    assert find_protected((changed("docs/CLAUDE.md"), changed("CLAUDE.md")), protection) == ("docs/CLAUDE.md",)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (".git", ".git"), (".git/hooks/x", ".git"), ("vendor/.git/config", ".git"), (".gitmodules", ".gitmodules"),
        ("a/.gitmodules", ".gitmodules"), (".coven/**", ".coven"), (".coven-code", ".coven-code"),
        (".github", ".github/coven.yml"),
        (".github/**", ".github/coven.yml"), (".github/*", ".github/coven.yml"), (".github/*.yml", ".github/coven.yml"),
        (".github/coven/memory/**", ".github/coven"), ("**/.github/coven.yml", ".github/coven.yml"),
        ("x/.GitHub/**", ".github/coven.yml"),
        ("**", ".git"), ("*", ".git"), ("**/*", ".git"), (".*", ".git"), ("*/coven.yml", ".git"),
        ("?github/**", ".github/coven.yml"),
        ("**/**", ".git"),
    ],
)  # fmt: skip
def test_an_override_that_covers_what_is_never_opened_is_a_mistake(path, named):
    assert find_override_mistake(path) == f"it covers {named}, which no override opens; name less"


@pytest.mark.parametrize("path", ["GIT~1/config", "docs/CLAUDE~1"])
def test_an_override_of_a_shortened_name_is_a_mistake(path):
    assert "write the long name" in find_override_mistake(path)


@pytest.mark.parametrize(
    "path",
    ["AGENTS.md", "*.md", "docs/**", "docs/*", ".github/workflows/**", ".github/ISSUE_TEMPLATE/*", ".gitattributes",
     "/.claude/**", "docs/?git/x",
     "**/.cursor/rules/**", ".github/CODEOWNERS", ".github/coven-notes.md"],
)  # fmt: skip
def test_an_override_of_anything_else_is_none(path):
    assert find_override_mistake(path) == ""


def link(path, target):
    return changed(path, status="added", before="absent", after="symlink", link_target=target)


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd", "\\\\server\\x", "C:/x", "C:x", None, "", "../../x", "../../src/x", "..\\..\\x", "../.git/config",
        "../.GitHub/workflows", "../AGENTS.md", "sub/.claude", "../\uff0egit", "../GIT~1/config", ".../x", ".. /.. /x",
        "a/. ./x", "../migrations/1.sql", "../MIGRATIONS", "./../migrations", "x/../../migrations//1.sql",
    ],
)  # fmt: skip
def test_a_link_out_of_the_repository_or_to_what_is_protected_strays(target):
    assert find_straying_links((link("src/data", target),), MIGRATIONS) == ("src/data",)


@pytest.mark.parametrize(
    "target", ["x", "./x", "../lib/x", "../src/../lib", "sub/migrations", "..", ".", "a-b/c", "lib//x", "lib/", "a/b:c"]
)
def test_a_link_inside_the_repository_does_not_stray(target):
    assert find_straying_links((link("src/data", target), changed("src/other")), MIGRATIONS) == ()


@pytest.mark.parametrize(("target", "found"), [("../../../x", ()), ("../../../../x", ("a/b/c/data",))])
def test_a_link_is_followed_from_the_folder_it_lies_in(target, found):
    assert find_straying_links((link("a/b/c/data", target),)) == found


def test_a_link_to_the_top_folder_strays_where_everything_is_protected():
    assert find_straying_links((link("src/data", ".."),), Protection(protect=("**",))) == ("src/data",)


def test_a_link_may_lead_where_an_override_lets_a_change_through():
    files = (link("CLAUDE.md", "AGENTS.md"),)

    assert find_straying_links(files) == ("CLAUDE.md",)
    assert find_straying_links(files, opened("AGENTS.md")) == ()


@pytest.mark.parametrize(
    "path",
    [
        "package.json", "web/package-lock.json", "yarn.lock", "pnpm-lock.yaml", "pyproject.toml", "requirements.txt",
        "requirements-dev.txt", "requirements/base.txt", "setup.py", "setup.cfg", "Pipfile",
        "Pipfile.lock", "poetry.lock", "uv.lock", "Cargo.toml", "Cargo.lock", "go.mod", "go.sum", "pom.xml", "build.gradle",
        "app/build.gradle.kts", "Gemfile", "Gemfile.lock", "composer.json", "composer.lock", "src/App.csproj", "Dockerfile",
        "Dockerfile.dev", "Makefile", "GNUmakefile", "docker-compose.yml", "compose.override.yaml", ".cargo/config.toml",
        "PACKAGE.JSON",
        # JavaScript
        "npm-shrinkwrap.json", "pnpm-workspace.yaml", ".yarnrc.yml", ".pnpmfile.cjs", "bun.lockb", "bunfig.toml", "deno.jsonc",
        "deno.lock",
        # Python
        "requirements-dev.in", "constraints.txt", "uv.toml", "pdm.lock", "pylock.toml", "environment.yaml", "tox.ini",
        "noxfile.py", "tests/conftest.py", "site/x.pth", "sitecustomize.py",
        # Rust, Go
        "crates/x/build.rs", "rust-toolchain.toml", "go.work", "go.work.sum",
        # JVM
        "settings.gradle.kts", "gradle.properties", "gradle.lockfile", "gradle/wrapper/gradle-wrapper.jar", "gradlew.bat",
        "gradle/libs.versions.toml", "mvnw.cmd", ".mvn/extensions.xml", "build.sbt", "deps.edn", "project.clj",
        # Ruby, .NET
        "gems.rb", "gems.locked", "x.gemspec", "Rakefile", "a.fsproj", "a.vbproj", "a.sln", "a.slnx", "Directory.Build.props",
        "Directory.Build.targets", "packages.config", "packages.lock.json", "NuGet.Config", "global.json",
        # others
        "Package.swift", "Package.resolved", "Podfile", "Podfile.lock", "pubspec.yaml", "pubspec.lock", "mix.exs", "mix.lock",
        "rebar.config", "rebar.lock", "x.cabal", "stack.yaml", "cpanfile.snapshot", "conanfile.py", "vcpkg.json", "flake.nix",
        "flake.lock",
        # builds, containers, systems that build, editors
        "rules.mk", "justfile", "Taskfile.yml", "CMakeLists.txt", "BUILD.bazel", "MODULE.bazel.lock", "WORKSPACE.bazel",
        "configure.ac", "meson.build", "app.dockerfile", "Containerfile", ".devcontainer/devcontainer.json",
        "docker-bake.hcl", ".gitlab-ci.yml", ".travis.yml", ".buildkite/pipeline.yml", "Jenkinsfile", "azure-pipelines.yml",
        ".tool-versions", ".envrc", "mise.toml", ".mise.toml",
        "Makefile.", ".npmrc", "package.json\u200b", "PACKAG~1.JSO", ".circleci/config.yml", ".vscode/tasks.json",
    ],
)  # fmt: skip
def test_manifests_lockfiles_and_builds_need_review(path):
    assert find_needing_review((changed("src/a.py"), changed(path, status="added"))) == (path,)
    assert find_protected((changed(path),)) == ()


@pytest.mark.parametrize(
    "path", ["src/package.py", "package.json.md", "make.md", "lock", "my-requirements.md", "data/x.txt"]
)
def test_ordinary_files_need_no_more_review_than_any(path):
    assert find_needing_review((changed(path),)) == ()


@pytest.mark.parametrize("table", [PROTECTED, REVIEWED])
def test_the_tables_are_folded_and_name_nothing_twice(table):
    patterns = [pattern for patterns in table.values() for pattern in patterns]

    assert len(patterns) == len(set(patterns))
    assert all("/".join(fold_path(pattern)) == pattern for pattern in patterns)


def test_what_needs_review_is_not_refused_already():
    assert not {pattern for patterns in REVIEWED.values() for pattern in patterns} & set(BUILT_IN)
