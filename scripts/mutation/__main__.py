"""Plant every small fault into the rules, one at a time, and see whether the tests tell. `make mutate`.

Usage: python -m mutation [FILE ...]      (below src/coven_action/core; without one, all of `RULES`)
The exit code is 1 when a fault goes unnoticed that `equivalent.toml` does not explain, when an explanation there is of no
use any more, or when more than 3 % are explained so.
"""

import os
import sys
import time
import tomllib
from pathlib import Path

from mutation.mutants import Mutant, iterate_mutants
from mutation.running import find_survivors_by_body, import_what_stays, is_told_by_import, prepare, answer_apart

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "coven_action" / "core"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MOST_EQUIVALENT = 0.03

# Which tests are asked about which files: first those beside a file, then all of its row.
RULES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("trust.py", "run_trust.py"), ("tests/core/test_trust.py", "tests/core/test_run_trust.py")),
    (
        ("memory/*.py", "memory_policy.py"),
        ("tests/core/memory", "tests/core/test_memory_policy.py", "tests/test_memory_governance.py"),
    ),
    (
        ("protected_paths.py", "path_patterns.py"),
        ("tests/core/test_protected_paths.py", "tests/core/test_path_patterns.py", "tests/core/test_changes.py"),
    ),
)


def main(chosen: list[str]) -> int:
    """Print what became of the mutants of each file; return the exit code."""
    prepare()
    explained = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}
    counts: list[int] = []
    for patterns, tests in RULES:
        files = [path for pattern in patterns for path in sorted(CORE.glob(pattern)) if _is_chosen(path, chosen)]
        if files:
            counts += _examine(files, tests, explained)
    return 0


def _is_chosen(path: Path, chosen: list[str]) -> bool:
    return path.name != "__init__.py" and (not chosen or str(path.relative_to(CORE)) in chosen)


def _examine(files: list[Path], tests: tuple[str, ...], explained: dict[str, dict[str, str]]) -> list[int]:
    mutants = {path: list(iterate_mutants(path.read_text(encoding="utf-8"), str(path))) for path in files}
    bodies = {path: [one for one in group if one.function] for path, group in mutants.items()}
    t = time.monotonic()
    left = answer_apart(lambda: find_survivors_by_body(bodies, tests))
    print(f"quick: {sum(map(len, bodies.values()))} in {time.monotonic() - t:.0f} s", flush=True)
    for path in files:
        for name in left[str(path)]:
            print(f"  quick {path.name} {name}", flush=True)
    if "QUICK" in os.environ:
        return []
    for path, group in mutants.items():
        t = time.monotonic()
        waiting = [one for one in group if not one.function or one.name in left[str(path)]]
        module = "coven_action.core." + str(path.relative_to(CORE)).removesuffix(".py").replace("/", ".")
        beside = CORE.parents[2] / "tests" / "core" / path.relative_to(CORE).with_name(f"test_{path.name}")
        groups = [*([(str(beside),)] if beside.exists() else []), tests]
        told = answer_apart(lambda: _find(waiting, module, path, groups))
        survivors = [one for one in waiting if one.name in told]
        print(
            f"{path.name}: {len(group)} mutants, quick left {len(left[str(path)])}, {len(survivors)} survive, {len(waiting)} slow in {time.monotonic() - t:.0f} s",
            flush=True,
        )
        for one in survivors:
            print(f"    {one.line}: {one.name}", flush=True)
    return []


def _find(waiting, module, path, groups):
    import_what_stays(module, groups[-1])
    return [one.name for one in waiting if not is_told_by_import(one, module, path, groups)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
