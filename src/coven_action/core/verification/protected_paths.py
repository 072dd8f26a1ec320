"""Which paths a familiar may not change under any spelling, and which a person looks at with care. Pure.

A change is judged by both names of a rename, by the kind of every entry, and by where its links lead. Hard links need no
rule: a git tree holds none, so what was written through one arrives as a change of the file itself.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from coven_action.core.records import Record
from coven_action.core.verification.changes import ChangedFile
from coven_action.core.verification.path_patterns import (
    PatternSet,
    Segments,
    fold_path,
    is_short_name,
    meet,
    names_meet,
    parse_pattern,
    prepare_patterns,
    resolve_dots,
)

PROTECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "GitHub: workflows, actions, owners, rules": (".github", "codeowners"),
    "Coven Action: configuration, memory, what a runtime keeps for itself": (".coven", ".coven-code"),
    "git: configuration, attributes and submodules": (".git", ".gitattributes", ".gitconfig", ".gitmodules", ".lfsconfig"),
    "git: hooks": (".githooks", ".husky", ".huskyrc*", ".lefthook*", "lefthook.*", ".pre-commit-config.*", ".pre-commit-hooks.*"),
    "instructions for any agent": (
        "agent.md", "agents.md", "agents.*.md", ".agent", ".agents", ".agent.md", ".agents.md", ".mcp.json",
        "**/.vscode/mcp.json", ".ruler", ".rules",
    ),
    "instructions for one agent": (
        ".aiassistant", ".aider*", ".aiexclude", ".aiignore", ".amazonq", ".amp", ".augment*", ".claude", ".claude.json",
        ".claude-plugin", "claude.md", "claude.*.md", ".cline*", ".codebuddy", "codebuddy.md", ".codeium*", ".codex",
        ".cody", "**/.vscode/cody.json", ".continue*", ".copilot", "copilot-instructions.md", ".crush*", "crush.md",
        ".cursor", ".cursorrules", ".cursorignore", ".devin", ".factory", ".firebender", "firebender.json", ".gemini*",
        "gemini.md", "gemini.*.md", "**/.gitlab/duo", ".goose*", ".idx", ".iflow", "iflow.md", ".junie", ".kilocode*",
        ".kiro", ".lingma", ".opencode", "opencode.json*", ".openhands*", ".qwen*", "qwen.md", "replit.md", ".roo",
        ".rooignore", ".roomodes", ".roorules*", ".rovodev*", ".tabnine*", ".trae", "warp.md", ".windsurf*", ".zencoder*",
    ),
    "instructions for one reviewer": (
        ".coderabbit.*", "ellipsis.y*ml", ".greptile*", "greptile.json", ".pr_agent.toml", ".qodo*", ".sourcery.y*ml",
        "sweep.y*ml",
    ),
}  # fmt: skip
"""What is refused, by why: whoever changes it alters who reviews, what runs, or what the next agent is told.

Patterns as in `path_patterns`, folded; a name means a file or a folder at any depth. Submodules are refused by their kind.
"""

NEVER_OPENED: Final = (".git", ".gitmodules", ".coven", ".coven-code", "**/.github/coven.yml", "**/.github/coven")
"""What no override opens: with it a familiar would write its own rules, its own memory, or the repository's git."""

REVIEWED: Final[Mapping[str, tuple[str, ...]]] = {
    "JavaScript": (
        "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml",
        ".npmrc", ".yarnrc*", ".pnpmfile.*", "bun.lock*", "bunfig.toml", "deno.json*", "deno.lock",
    ),
    "Python": (
        "pyproject.toml", "requirements*.txt", "requirements*.in", "**/requirements/*.txt", "constraints*.txt", "setup.py",
        "setup.cfg", "pipfile", "pipfile.lock", "poetry.lock", "uv.lock", "uv.toml", "pdm.lock", "pylock*.toml",
        "environment.y*ml", "tox.ini", "noxfile.py", "conftest.py", "*.pth", "sitecustomize.py",
    ),
    "Rust": ("cargo.toml", "cargo.lock", "build.rs", "rust-toolchain*", "**/.cargo/config*"),
    "Go": ("go.mod", "go.sum", "go.work", "go.work.sum"),
    "JVM": (
        "pom.xml", "build.gradle*", "settings.gradle*", "gradle.properties", "gradle.lockfile", "gradle-wrapper.*", "gradlew*",
        "libs.versions.toml", "mvnw*", ".mvn", "build.sbt", "deps.edn", "project.clj",
    ),
    "Ruby": ("gemfile", "gemfile.lock", "gems.rb", "gems.locked", "*.gemspec", "rakefile"),
    "PHP": ("composer.json", "composer.lock"),
    ".NET": (
        "*.csproj", "*.fsproj", "*.vbproj", "*.sln", "*.slnx", "*.props", "*.targets", "packages.config", "packages.lock.json",
        "nuget.config", "global.json",
    ),
    "Swift, Dart, Elixir, others": (
        "package.swift", "package.resolved", "podfile", "podfile.lock", "pubspec.yaml", "pubspec.lock", "mix.exs", "mix.lock",
        "rebar.config", "rebar.lock", "*.cabal", "stack.yaml*", "cpanfile*", "conanfile.*", "vcpkg*.json", "flake.nix",
        "flake.lock",
    ),
    "builds": (
        "makefile", "gnumakefile", "*.mk", "justfile", "taskfile.y*ml", "cmakelists.txt", "build.bazel", "module.bazel*",
        "workspace.bazel", "configure.ac", "meson.build",
    ),
    "containers": (
        "dockerfile*", "*.dockerfile", "containerfile*", "docker-compose*.y*ml", "compose*.y*ml", ".devcontainer*",
        "docker-bake.*",
    ),
    "other systems that build, and editors": (
        ".gitlab-ci.y*ml", ".circleci", ".travis.yml", ".buildkite", "jenkinsfile*", "azure-pipelines*.y*ml", ".vscode",
        ".tool-versions", ".envrc", "mise.toml", ".mise.toml",
    ),
}  # fmt: skip
"""What is published with a label and a note, by ecosystem: it decides what is installed, built or started elsewhere."""


class Override(Record):
    """One exception from `PROTECTED`.

    Args:
        path: A pattern; what it covers may be changed.
        reason: Why, in the words of whoever wrote the configuration.
    """

    path: str
    reason: str


class Protection(Record):
    """What a repository's configuration says about protected paths.

    Args:
        protect: Patterns of further paths that are refused; no override opens these.
        overrides: Exceptions from the built-in list.
    """

    protect: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()


BUILT_IN_ONLY: Final = Protection()
_PROTECTED: Final = prepare_patterns(tuple(pattern for patterns in PROTECTED.values() for pattern in patterns))
_NEVER_OPENED: Final = prepare_patterns(NEVER_OPENED)
_REVIEWED: Final = prepare_patterns(tuple(pattern for patterns in REVIEWED.values() for pattern in patterns))


def find_protected(files: Iterable[ChangedFile], protection: Protection = BUILT_IN_ONLY) -> tuple[str, ...]:
    """Return the changed paths that a familiar may not touch, in the order given."""
    return tuple(file.path for file in files if _is_submodule(file) or _is_protected_path(file.path, protection))


def find_straying_links(files: Iterable[ChangedFile], protection: Protection = BUILT_IN_ONLY) -> tuple[str, ...]:
    """Return the changed symbolic links that lead out of the repository or to something protected, in the order given.

    Whatever reads the tree later (a build, a check with secrets, a person's editor) would follow them.
    """
    return tuple(file.path for file in files if file.after == "symlink" and _strays(file, protection))


def find_overridden(files: Iterable[ChangedFile], override: Override) -> tuple[str, ...]:
    """Return the changed paths of the built-in list that an override opens, in the order given."""
    return tuple(
        file.path
        for file in files
        if not _is_submodule(file) and any(_is_opened(segments, override) for segments in _read_path(file.path))
    )


def find_needing_review(files: Iterable[ChangedFile]) -> tuple[str, ...]:
    """Return the changed paths that a person should look at with care, in the order given."""
    return tuple(file.path for file in files if any(_REVIEWED.covers(segments) for segments in _read_path(file.path)))


def find_override_mistake(text: str) -> str:
    """Return why an override of this pattern would open what none may open, or "".

    This is for people: whatever a pattern says, `find_protected` opens nothing of `NEVER_OPENED`.
    """
    pattern = parse_pattern(text)
    named = [(position, name) for position, name in enumerate(pattern) if name is not None]
    # A name without wildcards means a folder wherever it stands, as in `docs/.git/config`.
    starts = named[:1] + [(position, name) for position, name in named if not set(name) & {"*", "?"}]
    if any(is_short_name(name) for _, name in starts):
        return "names that Windows may have shortened are not opened; write the long name"
    for never in NEVER_OPENED:
        kept = (*parse_pattern(never)[1:], None)
        if not named or any(meet((*pattern[position:], None), kept, names_meet) for position, _ in starts):
            return f"it covers {never.removeprefix('**/')}, which no override opens; name less"
    return ""


def _is_submodule(file: ChangedFile) -> bool:
    return "submodule" in (file.before, file.after)


def _is_protected_path(path: str, protection: Protection) -> bool:
    return any(_is_protected(segments, protection) for segments in _read_path(path))


def _read_path(path: str) -> tuple[Segments, ...]:
    """Return the folded path as it stands and, where some system would walk steps in it, as that system walks."""
    segments = fold_path(path)
    return tuple(dict.fromkeys((segments, resolve_dots(segments))))


def _is_protected(segments: Segments, protection: Protection) -> bool:
    if prepare_patterns(protection.protect).covers(segments):
        return True
    return _PROTECTED.covers(segments) and not any(_is_opened(segments, override) for override in protection.overrides)


def _is_opened(segments: Segments, override: Override) -> bool:
    """Whether an override lets a path of the built-in list through."""
    return (
        _prepare(override).covers(segments)
        and _PROTECTED.covers(segments)
        and not _NEVER_OPENED.covers(segments)
        and not any(is_short_name(segment) for segment in segments)
    )


def _prepare(override: Override) -> PatternSet:
    return prepare_patterns((override.path,))


def _strays(file: ChangedFile, protection: Protection) -> bool:
    if not file.link_target:
        return True
    target = file.link_target.replace("\\", "/")
    place: list[str] = list(fold_path(file.path)[:-1])
    if target.startswith("/") or ":" in target.partition("/")[0]:
        return True
    for segment in fold_path(target):
        if segment == "..":
            if not place:
                return True
            place.pop()
        elif segment not in {"", "."}:
            if not segment.strip(". "):
                # A name of dots and spaces is a step upwards on Windows and a name elsewhere: it leads to two places.
                return True
            place.append(segment)
    return _is_protected(tuple(place), protection)
