"""Read unified diffs strictly, and write them again in one canonical form.

Pure and linear. The counts in a hunk's header decide where the hunk ends, so prose after a pasted diff is never taken
for a part of it, and a hunk with fewer or more lines than it promises is refused instead of being applied in part
(git itself ignores what follows a complete hunk). Names are read with or without the customary `a/` and `b/`, and are
written with them. The format is the one of https://git-scm.com/docs/diff-format and of GNU diff.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from coven_action.core.patches.quoted_path import parse_quoted_path, render_quoted_path

_HUNK: Final = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@.*", re.DOTALL)
_EXTENDED: Final = re.compile(
    r"(old mode|new mode|deleted file mode|new file mode|copy from|copy to|rename from|rename to"
    r"|similarity index|dissimilarity index|index) (.*)"
)
_BINARY_PART: Final = re.compile(r"(?:literal|delta) \d{1,12}")
_PAIRED: Final = frozenset({"rename from", "rename to", "copy from", "copy to"})
_KINDS: Final = {key: key.split()[0] for key in (*_PAIRED, "new file mode", "deleted file mode")}
"""Extended headers that say what happens to the file as a whole: of these words only one may occur."""
_NULL: Final = "/dev/null"
_OLD_PREFIXES: Final = frozenset("abciow12")
"""First letters that git writes before a path: a/ and b/, or with diff.mnemonicPrefix c/ i/ o/ w/ and 1/ 2/."""


class UnifiedDiffError(ValueError):
    """Raised for a diff that cannot be read; `line` is the index of the line at fault in the lines given."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place of a file: where it begins in the old file (from 1), and its lines with their marker, without LF."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: tuple[str, ...]

    def old_lines(self) -> list[str]:
        """Return the lines that must be there before, without markers."""
        return [line[1:] for line in self.lines if line[0] in {" ", "-"}]

    def new_lines(self) -> list[str]:
        """Return the lines that are there afterwards, without markers."""
        return [line[1:] for line in self.lines if line[0] in {" ", "+"}]

    def has_context_after(self) -> bool:
        """Say whether a line that stays follows the last line that changes."""
        marked = [line for line in self.lines if not line.startswith("\\")]
        return bool(marked) and marked[-1][0] == " "


@dataclass(frozen=True, slots=True)
class FileDiff:
    """What a diff says about one file: at least one path, and hunks, a binary part, a rename or a mode."""

    old_path: str | None
    new_path: str | None
    git: bool
    extended: tuple[tuple[str, str], ...] = ()
    hunks: tuple[Hunk, ...] = ()
    binary: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path to show: where the file lies afterwards, or lay before it was deleted."""
        return self.new_path or self.old_path or ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path the diff touches, once each."""
        return tuple(dict.fromkeys(path for path in (self.old_path, self.new_path) if path is not None))

    def counts(self) -> tuple[int, int]:
        """Return how many lines are added and removed."""
        markers = [line[0] for hunk in self.hunks for line in hunk.lines]
        return markers.count("+"), markers.count("-")

    def with_carriage_returns(self) -> "FileDiff":
        """Return this diff for a file whose lines end in CR LF."""
        return replace(self, hunks=tuple(replace(hunk, lines=_add_returns(hunk.lines)) for hunk in self.hunks))

    def has_carriage_returns(self) -> bool:
        """Say whether any line of a hunk ends in CR."""
        return any(line.endswith("\r") for hunk in self.hunks for line in hunk.lines)

    def render(self) -> str:
        """Return the canonical text, ending in LF."""
        lines = [*self._render_header(), *self.binary]
        for hunk in self.hunks:
            lines.append(f"@@ -{hunk.old_start},{hunk.old_count} +{hunk.new_start},{hunk.new_count} @@")
            lines.extend(hunk.lines)
        return "\n".join(lines) + "\n"

    def _render_header(self) -> list[str]:
        old = render_quoted_path("a/" + (self.old_path or self.path))
        new = render_quoted_path("b/" + self.path)
        header = [f"diff --git {old} {new}"] if self.git else []
        renamed = {"from": render_quoted_path(self.old_path or ""), "to": render_quoted_path(self.new_path or "")}
        header += [f"{key} {renamed.get(key.partition(' ')[2], value)}" for key, value in self.extended]
        if self.hunks:
            # git ends a name with a tab where it holds a space; a reader that looks for a time stamp then finds none.
            header.append(f"--- {_NULL if self.old_path is None else old + _tab(old)}")
            header.append(f"+++ {_NULL if self.new_path is None else new + _tab(new)}")
        return header


def _tab(name: str) -> str:
    return "\t" if " " in name else ""


def _add_returns(lines: Sequence[str]) -> tuple[str, ...]:
    """Add CR to each line that ends in LF, that is, to each that no "No newline at end of file" follows."""
    ends = [*lines[1:], ""]
    return tuple(
        line if line.startswith("\\") or follower.startswith("\\") else line + "\r"
        for line, follower in zip(lines, ends, strict=True)
    )


def is_diff_start(lines: Sequence[str], index: int) -> bool:
    """Say whether a file's diff begins at `index`: `diff --git`, or `---`, `+++` and `@@` in a row."""
    line = lines[index]
    if line.startswith(("diff --git ", "diff --cc ", "diff --combined ")):
        return True
    return (
        line.startswith("--- ")
        and index + 2 < len(lines)
        and lines[index + 1].startswith("+++ ")
        and lines[index + 2].startswith("@@ ")
    )


def parse_file_diff(lines: Sequence[str], index: int) -> tuple[FileDiff, int]:
    """Return the diff of one file that begins at `index`, and the index of the line after it.

    Args:
        lines: The text, split at LF.
        index: Where `is_diff_start` holds.

    Raises:
        UnifiedDiffError: The diff is cut, inconsistent, or of a kind that cannot be applied.
    """
    return _FileReader(lines, index).read()


@dataclass(slots=True)
class _FileReader:
    """Reads one file's diff; `index` is the next line to look at."""

    lines: Sequence[str]
    index: int
    start: int = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.index

    def _peek(self) -> str | None:
        return self.lines[self.index] if self.index < len(self.lines) else None

    def _fail(self, message: str, line: int | None = None) -> UnifiedDiffError:
        return UnifiedDiffError(self.start if line is None else line, message)

    def read(self) -> tuple[FileDiff, int]:
        first = self.lines[self.start].rstrip("\r")
        if first.startswith("diff --c"):
            raise self._fail("this is the combined diff of a merge, which cannot be applied")
        is_git = first.startswith("diff --git ")
        self.index += is_git
        extended = self._read_extended() if is_git else ()
        names = self._read_names()
        binary = self._read_binary()
        hunks = self._read_hunks() if names else ()
        if names and not hunks:
            raise self._fail("no hunk (`@@ -1,3 +1,3 @@`) follows the names of the file")
        old_path, new_path = self._find_paths(first if is_git else None, dict(extended), names)
        if not (hunks or binary or extended):
            raise self._fail(f"nothing is said about `{new_path or old_path}` but its name")
        found = FileDiff(old_path, new_path, is_git, extended, hunks, binary)
        return found, self.index

    def _read_extended(self) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        while (line := self._peek()) is not None and (match := _EXTENDED.fullmatch(line.rstrip("\r"))):
            found.append((match[1], match[2]))
            self.index += 1
        self._check_extended([key for key, _ in found])
        return tuple(found)

    def _check_extended(self, keys: Sequence[str]) -> None:
        """Refuse headers that say two things at once; which of them a reader believes is its own choice."""
        kinds = {kind for key in keys if (kind := _KINDS.get(key)) is not None}
        halves = sum(key in _PAIRED for key in keys)
        if len(set(keys)) != len(keys) or len(kinds) > 1 or halves not in {0, 2}:
            raise self._fail("its header says two things at once, or one half of a rename or copy")

    def _read_names(self) -> tuple[str, str] | None:
        line = self._peek()
        if line is None or not line.startswith("--- "):
            return None
        follower = self.lines[self.index + 1] if self.index + 1 < len(self.lines) else ""
        if not follower.startswith("+++ "):
            raise self._fail("a line `+++ b/path` must follow `--- a/path`", self.index)
        self.index += 2
        return self._parse_name(line), self._parse_name(follower)

    def _parse_name(self, line: str) -> str:
        name = line[4:].rstrip("\r")
        try:
            return parse_quoted_path(name) if name.startswith('"') else name.split("\t", 1)[0].rstrip(" ")
        except ValueError as error:
            raise self._fail(f"a file name cannot be read: {error}") from error

    def _read_binary(self) -> tuple[str, ...]:
        line = (self._peek() or "").rstrip("\r")
        if line.startswith("Binary files ") and line.endswith(" differ"):
            raise self._fail("it says only that binary files differ; make it with `git diff --binary`", self.index)
        if line != "GIT binary patch":
            return ()
        found = [line]
        self.index += 1
        while (part := self._peek()) is not None and _BINARY_PART.fullmatch(part.rstrip("\r")):
            while (part := self._peek()) is not None and part.rstrip("\r"):
                found.append(part.rstrip("\r"))
                self.index += 1
            found.append("")
            self.index += part is not None
        return tuple(found)

    def _read_hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        while (line := self._peek()) is not None and line.startswith("@@ "):
            hunks.append(self._read_hunk(line))
        if hunks and line is not None and _is_change_line(self.lines, self.index):
            raise self._fail("a hunk has more lines than its header (`@@ … @@`) promises", self.index)
        return tuple(hunks)

    def _read_hunk(self, header: str) -> Hunk:
        place = self.index
        match = _HUNK.fullmatch(header)
        if match is None:
            raise self._fail("a hunk's header is not of the form `@@ -1,3 +1,3 @@`", place)
        old_start, old_count, new_start, new_count = (1 if group is None else int(group) for group in match.groups())
        old_left, new_left = old_count, new_count
        found: list[str] = []
        self.index += 1
        while (line := self._peek()) is not None:
            if line in {"", "\r"}:  # editors strip the blank that marks an empty context line, and git allows it
                line = " " + line
            marker = line[0]
            if marker != "\\" and not (old_left or new_left):
                break
            old_left -= marker in {" ", "-"}
            new_left -= marker in {" ", "+"}
            if marker not in {" ", "-", "+", "\\"} or min(old_left, new_left) < 0:
                break
            found.append(line)
            self.index += 1
        if old_left or new_left:
            raise self._fail(
                f"the hunk `@@ -{old_start},{old_count} +{new_start},{new_count} @@` does not have the number of lines"
                " its header promises",
                place,
            )
        return Hunk(old_start, old_count, new_start, new_count, tuple(found))

    def _find_paths(
        self, git_line: str | None, extended: dict[str, str], names: tuple[str, str] | None
    ) -> tuple[str | None, str | None]:
        for verb in ("rename", "copy"):
            if f"{verb} from" in extended:
                return self._unquote(extended[f"{verb} from"]), self._unquote(extended[f"{verb} to"])
        if names is None:
            path = self._parse_git_line(git_line or "")
            names = (f"a/{path}", f"b/{path}")
        old_path, new_path = _strip_prefixes(*names)
        if old_path is None and new_path is None:
            raise self._fail("both names are /dev/null")
        if old_path is not None and new_path is not None and old_path != new_path:
            # GNU diff compares a copy (`x.orig`, `x~`) with the file; git takes the shorter name, and so do we.
            if git_line is not None or not old_path.startswith(new_path):
                raise self._fail(f"the names `{old_path}` and `{new_path}` differ, and it is no rename")
            old_path = new_path
        return (
            None if "new file mode" in extended else old_path,
            None if "deleted file mode" in extended else new_path,
        )

    def _unquote(self, name: str) -> str:
        return self._parse_name("+++ " + name)

    def _parse_git_line(self, line: str) -> str:
        """Return the path of `diff --git a/x b/x`, which has no separator but that both halves are alike."""
        names = line[len("diff --git ") :]
        middle = names.find('" ') + 1 if names.startswith('"') else len(names) // 2
        old, new = self._unquote(names[:middle]), self._unquote(names[middle + 1 :])
        old_path, new_path = _strip_prefixes(old, new)
        if names[middle : middle + 1] != " " or old_path != new_path or not old_path:
            raise self._fail("the file names in the line `diff --git` cannot be told apart")
        return old_path


def _is_change_line(lines: Sequence[str], index: int) -> bool:
    """Say whether the line looks like a further line of a hunk. `-- ` is the signature that ends a mailed patch."""
    line = lines[index].rstrip("\r")
    if line in {"--", "-- "} or is_diff_start(lines, index):
        return False
    return line.startswith(("+", "-")) or (line.startswith(" ") and bool(line.strip()))


def _strip_prefixes(old: str, new: str) -> tuple[str | None, str | None]:
    """Return both paths without what precedes them, `None` for /dev/null."""
    depth = _find_prefix_depth(old, new)
    old_path, new_path = (None if name == _NULL else name.split("/", depth)[depth] for name in (old, new))
    return old_path, new_path


def _find_prefix_depth(old: str, new: str) -> int:
    """Return 1 where the names carry a prefix, else 0 (`git diff --no-prefix`)."""
    names = [name for name in (old, new) if name != _NULL]
    if not all(name.find("/") > 0 for name in names):
        return 0
    heads = {name.split("/", 1)[0] for name in names}
    tails = {name.split("/", 1)[1] for name in names}
    if heads <= _OLD_PREFIXES:
        return 1
    return int(len(heads) > 1 and len(tails) == 1)
