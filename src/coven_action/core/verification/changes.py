"""What changed between two trees, as git's raw records say it, and how large it is. Pure.

The records are read without rename detection: a rename is a deletion and an addition, so both of its paths are judged.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from coven_action.core.records import Record

_MODES: Final = {
    "000000": "absent",
    "100644": "file",
    "100755": "executable",
    "120000": "symlink",
    "160000": "submodule",
}
_RAW: Final = re.compile(
    r":(?P<before>[0-7]{6}) (?P<after>[0-7]{6}) (?P<old>[0-9a-f]+) (?P<new>[0-9a-f]+) (?P<status>[AMDTU])[0-9]*"
)
_WITHOUT_CONTENT: Final = frozenset({"absent", "submodule"})


class ChangedFile(Record):
    """One path that differs. `before` and `after` are kinds of entry: absent, file, executable, symlink, submodule.

    `link_target` is where a symbolic link leads, as it is written; None for what is none, or leads nowhere readable.
    """

    path: str
    status: Literal["added", "modified", "deleted", "type_changed"]
    before: str
    after: str
    added_lines: int = 0
    deleted_lines: int = 0
    binary: bool = False
    link_target: str | None = None


class DiffStatistics(Record):
    """The size of a change. `bytes` is the size of the patch text."""

    files: int = 0
    added_lines: int = 0
    deleted_lines: int = 0
    binary_files: int = 0
    patch_bytes: int = 0

    @property
    def lines(self) -> int:
        """How many lines are added and deleted together."""
        return self.added_lines + self.deleted_lines

    @property
    def described(self) -> str:
        """The size in a person's words: `2 files, +14 −3`."""  # noqa: RUF002 - a minus sign, as diff statistics are typeset
        files = "1 file" if self.files == 1 else f"{self.files} files"
        return f"{files}, +{self.added_lines} −{self.deleted_lines}"  # noqa: RUF001 - as above


_STATUS: Final[dict[str, Literal["added", "modified", "deleted", "type_changed"]]] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "T": "type_changed",
}


def find_links(raw: str) -> tuple[str, ...]:
    """Return the objects that hold the targets of symbolic links which are new or lead elsewhere.

    Args:
        raw: `git diff-tree -r -z --no-renames --raw BASE TIP`.

    Raises:
        ValueError: The text is not what git writes.
    """
    return tuple(dict.fromkeys(header["new"] for header, _ in _pairs(raw) if _MODES.get(header["after"]) == "symlink"))


def find_objects(raw: str) -> tuple[tuple[str, str], ...]:
    """Return (object, path) for everything with content on either side of a change; one that stands in two places, twice.

    Args:
        raw: As `find_links` takes it.

    Raises:
        ValueError: The text is not what git writes.
    """
    sides = (("before", "old"), ("after", "new"))
    return tuple(
        (header[sha], path)
        for header, path in _pairs(raw)
        for mode, sha in sides
        if _MODES.get(header[mode]) not in _WITHOUT_CONTENT
    )


def parse_changes(raw: str, numstat: str, targets: Mapping[str, str] | None = None) -> tuple[ChangedFile, ...]:
    """Return the changed files.

    Args:
        raw: `git diff-tree -r -z --no-renames --raw BASE TIP`.
        numstat: `git diff-tree -r -z --no-renames --numstat BASE TIP`.
        targets: Where the links lead, by the objects that `find_links` returned.

    Raises:
        ValueError: The text is not what git writes, or the two do not speak of the same paths.
    """
    lines = {path: (added, deleted) for added, deleted, path in _parse_numstat(numstat)}
    records = tuple(_pairs(raw))
    if lines.keys() != {path for _, path in records}:
        raise ValueError("the two outputs of git name different paths")
    return tuple(_changed(header, path, lines[path], targets or {}) for header, path in records)


def _split_fields(text: str) -> list[str]:
    """Return the fields of a `-z` output. Each ends with NUL, so text after the last one is an output that was cut."""
    *fields, rest = text.split("\0")
    if rest:
        message = f"the output of git ends in the middle of a field: {rest[:80]!r}"
        raise ValueError(message)
    return fields


def _pairs(raw: str) -> Iterator[tuple[re.Match[str], str]]:
    fields = _split_fields(raw)
    for header, path in zip(fields[::2], fields[1::2], strict=True):
        match = _RAW.fullmatch(header)
        if match is None or match["status"] not in _STATUS:
            message = f"not a raw diff record: {header[:80]!r}"
            raise ValueError(message)
        yield match, path


def _changed(header: re.Match[str], path: str, lines: tuple[str, str], targets: Mapping[str, str]) -> ChangedFile:
    binary = lines[0] == "-"
    return ChangedFile(
        path=path,
        status=_STATUS[header["status"]],
        before=_MODES.get(header["before"], "unknown"),
        after=_MODES.get(header["after"], "unknown"),
        added_lines=0 if binary else int(lines[0]),
        deleted_lines=0 if binary else int(lines[1]),
        binary=binary,
        link_target=targets.get(header["new"]) if _MODES.get(header["after"]) == "symlink" else None,
    )


def _parse_numstat(numstat: str) -> Iterator[tuple[str, str, str]]:
    for record in _split_fields(numstat):
        added, deleted, path = record.split("\t", 2)
        yield added, deleted, path


def measure(files: Iterable[ChangedFile], patch_bytes: int) -> DiffStatistics:
    """Return the size of a change."""
    changed = tuple(files)
    return DiffStatistics(
        files=len(changed),
        added_lines=sum(file.added_lines for file in changed),
        deleted_lines=sum(file.deleted_lines for file in changed),
        binary_files=sum(file.binary for file in changed),
        patch_bytes=patch_bytes,
    )


# How the bytes of a name that is not UTF-8 are written in `ChangedFile.path`.
_ESCAPED_BYTE: Final = re.compile(r"\\x[89a-f][0-9a-f]")


def find_unreadable(files: Iterable[ChangedFile]) -> tuple[str, ...]:
    """Return the changed paths that are not UTF-8: no interface of GitHub can say them, and they could split a secret."""
    return tuple(file.path for file in files if file.after != "absent" and _ESCAPED_BYTE.search(file.path))


def find_broken_limits(
    statistics: DiffStatistics, *, files: int, lines: int, binary_files: int, patch_bytes: int
) -> tuple[str, ...]:
    """Return one sentence for each limit that the change exceeds.

    Args:
        statistics: The size of the change.
        files: How many may change.
        lines: How many may be added and deleted together.
        binary_files: How many of the files may have no lines.
        patch_bytes: How large the patch may be.
    """
    broken = []
    if statistics.files > files:
        broken.append(f"{statistics.files} files are changed; limits.files allows {files}")
    if statistics.lines > lines:
        broken.append(f"{statistics.lines} lines are added or deleted; limits.lines allows {lines}")
    if statistics.binary_files > binary_files:
        broken.append(f"{statistics.binary_files} binary files are changed; limits.binary_files allows {binary_files}")
    if statistics.patch_bytes > patch_bytes:
        broken.append(f"the patch has {statistics.patch_bytes} bytes; limits.patch allows {patch_bytes}")
    return tuple(broken)
