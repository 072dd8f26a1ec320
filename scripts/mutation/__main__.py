"""Plant every small fault into the rules, one at a time, and see whether the tests tell. `make mutate`.

Usage: python -m mutation [FILE ...]      (below src/coven_action/core; without one, all of `RULES`)
The exit code is 1 when a fault goes unnoticed that `equivalent.toml` does not explain, when an explanation there is of no
use any more, or when more than 3 % are explained so.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mutation.mutants import Mutant, iterate_mutants
from mutation.running import answer_apart, find_survivors_by_body, find_survivors_by_import, prepare

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "coven_action" / "core"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MOST_EQUIVALENT = 0.03

# Which tests are asked about which files: first those nearest to a file, then all of its row.
RULES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("trust/*.py",),
        ("tests/core/trust",),
    ),
    (
        ("brief.py",),
        ("tests/core/test_brief.py",),
    ),
    (
        ("memory/*.py",),
        ("tests/core/memory", "tests/test_memory_governance.py"),
    ),
    (
        ("verification/protected_paths.py", "verification/path_patterns.py"),
        (
            "tests/core/verification/test_protected_paths.py",
            "tests/core/verification/test_path_patterns.py",
            "tests/core/verification/test_changes.py",
        ),
    ),
)

# The tests nearest to a file that has none of its own name.
NEAREST: dict[str, str] = {
    "entry_document.py": "entry_parsing.py",
    "entry_rendering.py": "entry_parsing.py",
    "evidence.py": "judging.py",
    "grants.py": "policy.py",
    "instructions.py": "screens.py",
    "personal_data.py": "screens.py",
    "proposed_file.py": "judging.py",
}


def main(chosen: list[str]) -> int:
    """Print what became of the mutants of each file; return the exit code."""
    prepare()
    explained: dict[str, dict[str, str]] = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))
    good = True
    for patterns, tests in RULES:
        files = [path for pattern in patterns for path in sorted(CORE.glob(pattern)) if _is_chosen(path, chosen)]
        mutants = {path: list(iterate_mutants(path.read_text(encoding="utf-8"), str(path))) for path in files}
        for path, names in _iterate_survivors(mutants, tests) if mutants else ():
            reasons = explained.get(_name_file(path), {})
            good = _report(path, len(mutants[path]), set(names), set(reasons)) and good
    return 0 if good else 1


def _name_file(path: Path) -> str:
    return path.relative_to(CORE).as_posix()


def _is_chosen(path: Path, chosen: list[str]) -> bool:
    return path.name != "__init__.py" and (not chosen or _name_file(path) in chosen)


def _iterate_survivors(mutants: dict[Path, list[Mutant]], tests: tuple[str, ...]) -> Iterator[tuple[Path, list[str]]]:
    bodies = {path: [one for one in group if one.function] for path, group in mutants.items()}
    left = answer_apart(lambda: find_survivors_by_body(bodies, tests))
    for path, group in mutants.items():
        waiting = [one for one in group if not one.function or one.name in left[str(path)]]
        yield path, _find_survivors_by_import(path, waiting, tests)


def _find_survivors_by_import(path: Path, mutants: list[Mutant], tests: tuple[str, ...]) -> list[str]:
    name = _name_file(path)
    module = "coven_action.core." + name.removesuffix(".py").replace("/", ".")
    nearest = ROOT / "tests" / "core" / Path(name).with_name(f"test_{NEAREST.get(path.name, path.name)}")
    return find_survivors_by_import(mutants, module, path, [(str(nearest),), tests])


def _report(path: Path, number: int, survivors: set[str], explained: set[str]) -> bool:
    """Print a file's figures and what is wrong with them; return whether nothing is."""
    equivalent = survivors & explained
    print(
        f"{_name_file(path)}: {number} mutants, {number - len(survivors)} killed, {len(equivalent)} equivalent",
        flush=True,
    )
    for name in sorted(survivors - explained):
        print(f"  survives: {name}", flush=True)
    for name in sorted(explained - survivors):
        print(f"  explained, but killed or gone: {name}", flush=True)
    few = len(equivalent) <= MOST_EQUIVALENT * number
    if not few:
        print(f"  more than {MOST_EQUIVALENT:.0%} are called equivalent", flush=True)
    return few and survivors == explained


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
