"""Find the cells of a table that GitHub leaves out: those behind the columns that its header has.

Pure and linear. Rules after GitHub's own specification, https://github.github.com/gfm/#tables-extension-: a row is cut at
every bar without a backslash in front, inside code as well, and "the excess is ignored". What makes a table is not always
certain without all of the blocks around it. Where two tables may begin without a blank line between them, the smaller number
of columns holds for the rows behind both; where a line may belong to a table or not, it does.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

# Expressions that begin with a literal line feed are many times faster than `^`; the searched text gets one in front, so
# that where a match starts in the searched text a line starts in the text.
_DELIMITER: Final = re.compile(r"\n([ \t>]*+)([|:-][-|: \t]*+)(?=\n|\Z)")
_ALIGNMENTS: Final = re.compile(r"\|?+[ \t]*+:?+-++:?+[ \t]*+(?>(?:\|[ \t]*+:?+-++:?+[ \t]*+)*)\|?+[ \t]*+")
_PREFIX: Final = re.compile(r"[ \t>]*+")
_BAR: Final = re.compile(r"(?<!\\)\|")
_CONTAINERS: Final = re.compile(r"[ \t>]*+(?>(?:(?:[-*+]|\d{1,9}[.)]|\[\^[^\]\n]{1,99}\]:)[ \t>]++)*)")
_CONTAINER: Final = re.compile(r"\n[ \t>]*+(?:[-*+]|\d{1,9}[.)]|\[\^[^\]\n]{1,99}\]:)[ \t\n]")
# Lines that begin another block, which ends a table: a list item, a heading, a fence and a rule. HTML may begin one too.
_OTHER_BLOCK: Final = re.compile(
    r"(?:[-*+]|\d{1,9}[.)]|#{1,6})(?:[ \t]|\Z)|`{3,}+[^`]*+\Z|~~~|([-_*])[ \t]*+(?>(?:\1[ \t]*+){2,})\Z"
)
# CommonMark: what is indented by four columns, relative to what contains it, is code.
_CODE_INDENTATION: Final = 4


@dataclass(frozen=True, slots=True)
class _Table:
    """What the rows of one table, or of several that cannot be told apart, are held against.

    `quotations` is how many quotations it stands in; `lowest` and `highest` are columns at which its delimiter rows begin.
    """

    columns: int
    quotations: int
    lowest: int
    highest: int

    def holds(self, prefix: str) -> bool:
        """Tell whether a line that begins with `prefix` may be a row: one in the same containers, and not code."""
        if prefix.count(">") != self.quotations:
            return False
        return self.lowest - _CODE_INDENTATION < _find_column(prefix) < self.highest + _CODE_INDENTATION

    def join(self, other: "_Table") -> "_Table":
        """Return the table that hides what either of the two hides."""
        return replace(
            self,
            columns=min(self.columns, other.columns),
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
        )


def iterate_hidden_cells(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of what GitHub leaves out of each row of a table, where that is more than white space.

    The start is right behind the bar that ends the last cell that is shown, the end is that of the line. Code is
    disregarded: what lies in a fence is for the caller to leave alone.
    """
    if "|" not in text:
        return
    searched = "\n" + text
    delimiter = _DELIMITER.search(searched)
    first_container: int | None = None
    while delimiter:
        position = delimiter.end()
        table = _read_table(searched, delimiter)
        if table and table.lowest >= _CODE_INDENTATION:
            if first_container is None:
                container = _CONTAINER.search(searched)
                first_container = container.start() if container else len(searched)
            # Without a list or a footnote before it, nothing but code is indented that far.
            table = table if first_container < delimiter.start() else None
        if table:
            position = yield from _iterate_rows(searched, table, position)
        delimiter = _DELIMITER.search(searched, position)


def _read_table(searched: str, delimiter: re.Match[str]) -> _Table | None:
    """Return the table that a delimiter row makes of the line before it; None where the two do not fit each other."""
    row = delimiter[2]
    # Dashes alone make a heading of the line before them.
    if not ("|" in row or ":" in row) or not _ALIGNMENTS.fullmatch(row):
        return None
    columns = row.strip("| \t").count("|") + 1
    end = delimiter.start()
    if not _has_cells(searched, searched.rfind("\n", 0, end) + 1, end, columns):
        return None
    column = _find_column(delimiter[1])
    return _Table(columns, delimiter[1].count(">"), column, column)


def _has_cells(searched: str, start: int, end: int, columns: int) -> bool:
    """Tell whether a line may be a header of so many cells, whatever of its beginning belongs to containers."""
    end = start + len(searched[start:end].rstrip(" \t"))
    bars = [bar.start() for bar in _BAR.finditer(searched, start, end)]
    cells = len(bars) + 1 - (end - 1 in bars[-1:])
    if cells == columns:
        return end > start
    return cells == columns + 1 and _CONTAINERS.fullmatch(searched, start, bars[0]) is not None


def _iterate_rows(searched: str, table: _Table, position: int) -> Generator[tuple[int, int], None, int]:
    """Yield what is left out of the rows behind `position`, and return where the line begins that is no row."""
    while position < len(searched):
        line_end = searched.find("\n", position + 1)
        end = len(searched) if line_end < 0 else line_end
        prefix = _PREFIX.match(searched, position + 1, end)
        content = prefix.end() if prefix else end
        if content == end or not table.holds(searched[position + 1 : content]):
            break
        if _OTHER_BLOCK.match(searched, content, end):
            break
        delimiter = _DELIMITER.match(searched, position)
        other = _read_table(searched, delimiter) if delimiter else None
        table = table.join(other) if other else table
        excess = _find_excess(searched, content, end, table.columns)
        if searched[excess:end].strip("| \t"):
            # One less for the line feed in front of the searched text.
            yield excess - 1, end - 1
        position = end
    return position


def _find_excess(searched: str, content: int, end: int, columns: int) -> int:
    """Return where the cells of a row that are shown end, or where the row does."""
    shown = columns + searched.startswith("|", content)
    last = next(islice(_BAR.finditer(searched, content, end), shown - 1, None), None)
    return last.end() if last else end


def _find_column(prefix: str) -> int:
    """Return how far the content behind `prefix` is indented, relative to the last quotation it stands in."""
    outer, mark, inner = prefix.expandtabs(4).rpartition(">")
    del outer
    # The first space behind the mark of a quotation belongs to the mark.
    return len(inner) - bool(mark and inner)
