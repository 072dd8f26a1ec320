"""Run tests against planted faults. Nothing on disk is changed: each mutant lives in a forked process and dies with it.

Two ways. Most mutants change the body of a function: there the tests are collected once, and each process puts the
changed body into place and runs only the tests that call the function. A mutant of a module's own statements, and any that
survived so far, is told only by importing everything anew: there each process collects and runs the tests itself.
"""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from tempfile import TemporaryFile
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import hypothesis
import pytest

from mutation.mutants import Mutant

Answer = TypeVar("Answer")
_Function = tuple[str, int]
"""A function by the file it stands in and its first line."""

# Without rewritten assertions and without what looks for leaks: nobody reads a report here, and each start counts.
PYTEST = (
    *("-q", "--no-header", "--tb=no", "--import-mode=importlib", "--assert=plain", "-o", "addopts=", "-o", "timeout=0"),
    *(f"-pno:{name}" for name in ("cacheprovider", "faulthandler", "threadexception", "unraisableexception")),
)
PLUGINS = ("_hypothesis_pytestplugin", "pytest_mock", "pytest_timeout")


def _run_pytest(arguments: Sequence[str], plugin: object) -> bool:
    plugins = [import_module(name) for name in PLUGINS]
    return pytest.main([*PYTEST, *arguments], plugins=[*plugins, plugin]) == pytest.ExitCode.OK


def prepare() -> None:
    """Import what every test needs and no fault changes; a failing property need not be shrunk to count."""
    for module in ("pydantic.main", "yaml", *PLUGINS):
        import_module(module)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    quick = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    everything = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=quick, suppress_health_check=everything
    )
    hypothesis.settings.load_profile("mutation")


def find_survivors_by_body(mutants: Mapping[Path, Sequence[Mutant]], tests: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the mutants that no test tells while only bodies of functions are exchanged, by file.

    Args:
        mutants: Of each file, those that change the body of a function.
        tests: Files and folders for pytest.
    """
    runner = _BodyRunner(mutants)
    if not _run_pytest(tests, runner):
        raise SystemExit(f"The tests fail without any fault; mend them first: {' '.join(tests)}")
    return runner.survivors


class _BodyRunner:
    """A pytest plugin that runs the collected tests once as they are, then for each mutant those that reach it."""

    def __init__(self, mutants: Mapping[Path, Sequence[Mutant]]) -> None:
        self._mutants = mutants
        self._reached: dict[_Function, list[pytest.Item]] = {}
        self._seconds: dict[str, float] = {}
        self.survivors: dict[str, list[str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _run_items(session.items, self._watch)
        for items in self._reached.values():
            items.sort(key=lambda item: self._seconds[item.nodeid])
        for item in session.items:
            _ask_less(item)
        if session.testsfailed:
            return True
        functions = _list_functions({str(path) for path in self._mutants})
        gc.freeze()
        for path, mutants in self._mutants.items():
            runs = [self._prepare_run(session, one, str(path), functions) for one in mutants]
            unnoticed = run_all_apart(runs, seconds=20)
            self.survivors[str(path)] = [one.name for one, alive in zip(mutants, unnoticed, strict=True) if alive]
        session.testsfailed = 0
        return True

    def _watch(self, item: pytest.Item, run: Callable[[], None]) -> None:
        files = {str(path) for path in self._mutants}

        def note(frame: FrameType, event: str, _: Any) -> None:
            if event == "call" and frame.f_code.co_filename in files:
                items = self._reached.setdefault((frame.f_code.co_filename, frame.f_code.co_firstlineno), [])
                if not items or items[-1] is not item:
                    items.append(item)

        begun = time.monotonic()
        sys.setprofile(note)
        try:
            run()
        finally:
            sys.setprofile(None)
            self._seconds[item.nodeid] = time.monotonic() - begun

    def _prepare_run(
        self, session: pytest.Session, mutant: Mutant, path: str, functions: dict[_Function, list[FunctionType]]
    ) -> Callable[[], bool]:
        """Return what says, in a process of its own, whether the tests pass with the fault in place."""
        items = self._reached.get((path, mutant.function), [])

        def run() -> bool:
            changed = _find_code(mutant.code, mutant.function)
            for function in functions.get((path, mutant.function), []):
                function.__code__ = changed
            session.testsfailed = 0
            for item in items:
                _run_items([item], lambda _, one: one())
                if session.testsfailed:
                    return False
            return True

        return run


def _run_items(items: Sequence[pytest.Item], around: Callable[[pytest.Item, Callable[[], None]], None]) -> None:
    for index, item in enumerate(items):
        following = items[index + 1] if index + 1 < len(items) else None

        def run(item: pytest.Item = item, following: pytest.Item | None = following) -> None:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

        around(item, run)


def _ask_less(item: pytest.Item) -> None:
    """Try a property on few examples: what these do not tell is asked again in full by the other way."""
    test: Any = getattr(item, "obj", None)
    handle = getattr(test, "_hypothesis_internal_use_settings", None)
    if handle is not None:
        function: Any = getattr(test, "__func__", test)
        function._hypothesis_internal_use_settings = hypothesis.settings(  # noqa: SLF001
            handle, max_examples=min(10, handle.max_examples)
        )


class _CheapFirst:
    """A pytest plugin that leaves properties, which take their time, to the end."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False)))


def _list_functions(files: set[str]) -> dict[_Function, list[FunctionType]]:
    functions: dict[_Function, list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in files:
            functions.setdefault((one.__code__.co_filename, one.__code__.co_firstlineno), []).append(one)
    return functions


def _find_code(code: CodeType, first_line: int) -> CodeType:
    waiting = [code]
    while waiting:
        found = [one for one in waiting if one.co_firstlineno == first_line and one.co_flags & 1]
        if found:
            return found[0]
        waiting = [inner for one in waiting for inner in one.co_consts if isinstance(inner, CodeType)]
    raise LookupError(first_line)


def find_survivors_by_import(
    mutants: Iterable[Mutant], module: str, path: Path, groups: Iterable[Sequence[str]]
) -> list[str]:
    """Return the names of the mutants that no group of tests, collected anew with the fault in place, tells."""
    waiting = list(mutants)
    for group in groups:
        runs = [partial(_run_with, mutant.code, module, path, group) for mutant in waiting]
        unnoticed = run_all_apart(runs, seconds=60)
        # Whoever works on the tests meanwhile must not be taken for one that tells a fault.
        if not run_all_apart([partial(_run_with, None, module, path, group)], seconds=60)[0]:
            raise SystemExit(f"The tests fail without any fault; mend them first: {' '.join(group)}")
        waiting = [mutant for mutant, alive in zip(waiting, unnoticed, strict=True) if alive]
    return [mutant.name for mutant in waiting]


def _run_with(code: CodeType | None, module: str, path: Path, tests: Sequence[str]) -> bool:
    if code is not None:
        sys.meta_path.insert(0, _MutantFinder(module, path, code))
    return _run_pytest(["-x", *tests], _CheapFirst())


class _MutantLoader(SourceFileLoader):
    """Loads a module from code that is at hand."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        super().__init__(module, str(path))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self._code


class _MutantFinder(MetaPathFinder):
    """Finds one module, and that with a fault in it."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self._module = module
        self._path = path
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self._module:
            return None
        loader = _MutantLoader(fullname, self._path, self._code)
        return spec_from_file_location(fullname, self._path, loader=loader)


def answer_apart(ask: Callable[[], Answer]) -> Answer:
    """Return what a function returns in a process of its own, whose imports end with it; JSON is all it may return."""
    with TemporaryFile("w+") as answer:

        def run() -> bool:
            json.dump(ask(), answer)
            answer.flush()
            return True

        if not run_all_apart([run], seconds=4 * 3600)[0]:
            raise SystemExit("Mutation testing could not be carried out; the tests may fail without any fault.")
        answer.seek(0)
        return cast("Answer", json.load(answer))


def run_all_apart(runs: Sequence[Callable[[], bool]], *, seconds: int) -> list[bool]:
    """Return what each function says in a process of its own; False where it crashes or computes too long, as with a loop.

    As many run at a time as there are processors.
    """
    answers = [False] * len(runs)
    running: dict[int, int] = {}
    for index, run in enumerate(runs):
        if len(running) == os.cpu_count():
            _await_one(running, answers)
        running[_start_apart(run, seconds)] = index
    while running:
        _await_one(running, answers)
    return answers


def _await_one(running: dict[int, int], answers: list[bool]) -> None:
    process, status = os.wait()
    if process in running:
        answers[running.pop(process)] = status == 0


def _start_apart(run: Callable[[], bool], seconds: int) -> int:
    """Start a function in a process of its own; return the process's number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        # Time that the process uses, not time that passes: a busy machine fails no test.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        status = 0 if run() else 1
    finally:
        os._exit(status)
