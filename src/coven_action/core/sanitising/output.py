"""Make text of an agent or an issue inert before it is placed into Markdown on GitHub.

Pure and idempotent. Code stays code, because people paste it: fences are found line by line and written anew in the one
form that every parser reads alike (first column, longer than any run inside, always closed), inline code is kept where
a span opens and closes on one line, and every other backtick becomes its twin. Outside code nothing is left that
GitHub would act upon: no HTML, no image, no mention, no reference (so no closing keyword), no link that is not allowed.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Final
from urllib.parse import urlsplit

from coven_action.core.sanitising import inert
from coven_action.core.sanitising.inert import TWINS
from coven_action.core.sanitising.sanitised import Sanitised, clean_characters

# Stand-ins while the pieces are worked on as one string. Control characters were removed before, so none can be forged.
_CODE: Final = "\x01"
_KEPT: Final = "\x02"
_FENCE: Final = "\x00"

# Languages that GitHub renders instead of showing, or that put a button under the text.
_ACTIVE_LANGUAGES: Final = frozenset({"mermaid", "math", "geojson", "topojson", "stl", "suggestion"})
_LANGUAGE: Final = re.compile(r"[ \t]*([A-Za-z0-9_+#.-]{1,32})(?=\s|\Z)")

# Expressions that begin with a literal line feed are many times faster than `^`; the searched text gets one in front.
_RUN: Final = re.compile(r"\n(?P<indentation>[ \t]*+)(?P<run>`{3,}+|~{3,}+)(?P<rest>[^\n]*+)")
_LONG_RUN: Final = re.compile(r"`{3,}+")
_SPAN: Final = re.compile(r"(`[^`\n]++`(?!`)|``(?!`)(?>(?:[^`\n]|`(?!`))+)``(?!`)|```[^`\n]++```(?!`))")
# A line that may make a table of the lines around it; a table's cells are cut at every bar, inside code as well.
_DELIMITER_ROW: Final = re.compile(r"\n[-|: \t>*+.)0-9]++(?=\n|\Z)")

_ENTITY: Final = re.compile(r"&(?=#?[A-Za-z0-9]{1,40};)(?!(?:amp|lt|gt|quot);)")
# Nothing but white space may follow, after punctuation: GitHub's automatic links swallow all that follows directly,
# such as the backtick that opens a code span.
_ADDRESS: Final = (
    r"http(?<![A-Za-z0-9/:\\]http)s?://[A-Za-z0-9.:-]++(?:[/?#][A-Za-z0-9._~/?#=&%+,:;-]*+)?(?=[.,;:!?)]*+(?:\s|\Z))"
)
# A number behind a hash makes the path before it look like a repository, and the whole like a reference to its issue; behind
# GH- it is one of ours.
_UNSAFE_IN_ADDRESS: Final = re.compile(r"\.\.|%2e|%2f|%5c|#\d|\bgh-\d|/(?:issues|pull|discussions)/\d", re.IGNORECASE)
# TeX commands that make links or load things; GitHub renders TeX in `$`…`$`, also with backticks inside.
_TEX: Final = re.compile(r"\\(?=(?:href|url|require|class|style|cssId|html|includegraphics|unicode)\b)")
# Our own comments are found by a hidden marker; text in code must not look like one.
_MARKER: Final = re.compile(r"<(?=!--\s{0,9}coven)", re.IGNORECASE)


def sanitise_output(
    text: str,
    *,
    closing: int | None = None,
    allowed_links: frozenset[str] = frozenset(),
    single_line: bool = False,
) -> Sanitised:
    """Return untrusted Markdown in a form that GitHub shows but does not act upon.

    Args:
        text: Markdown written by an agent or taken from an issue.
        closing: The one issue that may be closed: lines that say exactly `Closes #closing` stay as they are.
            Needed only where a text of ours, already carrying that line, passes through again.
        allowed_links: Exact host names (`docs.python.org`, HTTPS only) or address prefixes
            (`https://github.com/acme/billing`) that may stay links. Images never stay, whatever their host, and
            neither do addresses of issues and pull requests, which would leave back-links there.
        single_line: Fold all white space into single spaces, for a table cell or a sentence.
    """
    counts: Counter[str] = Counter()
    text = clean_characters(text, counts)
    text, fences = (" ".join(text.split()), []) if single_line else _extract_fences(text)
    text = text.replace("\\`", TWINS["`"])
    prose, spans = _extract_spans(text)
    prose, kept = _extract_kept(prose, closing, allowed_links)
    prose = _disarm_prose(prose, counts)
    spans = _disarm_code(spans, counts)
    prose = _restore(prose, _KEPT, kept)
    prose = _restore(prose, _CODE, spans)
    return Sanitised(_restore(prose, _FENCE, _disarm_code(fences, counts)), {k: n for k, n in counts.items() if n})


def _restore(text: str, stand_in: str, pieces: list[str]) -> str:
    """Put the pieces back where their stand-ins are, one after the other."""
    if not pieces:
        return text
    return "".join(chain.from_iterable(zip_longest(text.split(stand_in), pieces, fillvalue="")))


def _extract_fences(text: str) -> tuple[str, list[str]]:
    """Return the text with a stand-in for every fenced block, and the blocks in canonical form."""
    if "```" not in text and "~~~" not in text:
        return text, []
    prose: list[str] = []
    fences: list[str] = []
    text = "\n" + text
    position = 1
    for start, end, fence in _iterate_fences(text):
        prose.append(text[position:start])
        fences.append(fence)
        position = end
    prose.append(text[position:])
    return _FENCE.join(prose), fences


def _iterate_fences(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and canonical form of every fenced block; a block left open ends with the text.

    Args:
        text: The text with a line feed in front.
    """
    opening: re.Match[str] | None = None
    for run in _RUN.finditer(text):
        marker, rest = run["run"], run["rest"]
        if opening is None:
            if marker[0] == "~" or "`" not in rest:
                opening = run
        elif marker.startswith(opening["run"]) and not rest.strip():
            yield opening.start() + 1, run.end(), _render_fence(opening, text[opening.end() + 1 : run.start() + 1])
            opening = None
    if opening is not None:
        yield opening.start() + 1, len(text), _render_fence(opening, text[opening.end() + 1 :])


def _render_fence(opening: re.Match[str], content: str) -> str:
    indentation = len(opening["indentation"])
    if indentation:
        content = re.sub(rf"^[ \t]{{1,{indentation}}}", "", content, flags=re.MULTILINE)
    fence = "`" * max(3, 1 + max(map(len, _LONG_RUN.findall(content)), default=0))
    language = _LANGUAGE.match(opening["rest"])
    name = language[1] if language and language[1].lower() not in _ACTIVE_LANGUAGES else ""
    line_end = "" if not content or content.endswith("\n") else "\n"
    return f"{fence}{name}\n{content}{line_end}{fence}"


def _extract_spans(text: str) -> tuple[str, list[str]]:
    """Return the text with a stand-in for every inline code span, and the spans."""
    if "`" not in text:
        return text, []
    pieces = _SPAN.split(text)
    prose, spans = pieces[0::2], pieces[1::2]
    if "|" in text and any("-" in row[0] for row in _DELIMITER_ROW.finditer("\n" + text)):
        stand_ins = [span if "|" in span else _CODE for span in spans]
        spans = [span for span in spans if "|" not in span]
        return _interleave(prose, stand_ins), spans
    return _CODE.join(prose), spans


def _interleave(prose: list[str], between: list[str]) -> str:
    return "".join(chain.from_iterable(zip_longest(prose, between, fillvalue="")))


def _extract_kept(text: str, closing: int | None, allowed_links: frozenset[str]) -> tuple[str, list[str]]:
    """Return the text with a stand-in for all that may stay active, and those pieces."""
    kept: list[str] = []

    def keep_allowed(match: re.Match[str]) -> str:
        is_address = not match[0].startswith("Closes")
        # An inline link must end where the address ends, else GitHub reads on.
        is_cut_off = match.string.endswith("](", 0, match.start()) and not match.string.startswith(")", match.end())
        if is_address and (is_cut_off or not check_allowed_link(match[0], allowed_links)):
            return match[0]
        kept.append(match[0])
        return _KEPT

    own = rf"|^Closes #{closing:d}\.?$" if closing is not None else ""
    if own or (allowed_links and "://" in text):
        text = re.sub(_ADDRESS + own, keep_allowed, text, flags=re.MULTILINE)
    return text, kept


def check_allowed_link(address: str, allowed_links: frozenset[str]) -> bool:
    """Tell whether an address may stay a link: its host is listed, or it lies under a listed prefix."""
    if _UNSAFE_IN_ADDRESS.search(address):
        return False
    if address.startswith("https://") and urlsplit(address).netloc.lower() in allowed_links:
        return True
    return any(
        address == prefix or address.startswith(prefix if prefix.endswith("/") else (f"{prefix}/", f"{prefix}?"))
        for prefix in allowed_links
        if "://" in prefix
    )


def _disarm_prose(text: str, counts: Counter[str]) -> str:
    """Apply every rule to text outside code. Later rules see what earlier ones wrote, so the order is part of them."""
    if "&" in text:
        text, count = _ENTITY.subn("&amp;", text)
        counts["markup"] += count
    counts["tag"] += text.count("<")
    text = text.replace("<", "&lt;").replace("`", TWINS["`"]).replace("~~~", TWINS["~"] * 3)
    if "$" in text:
        counts["markup"] += text.count("$")
        text = text.replace("$", TWINS["$"])
    text = inert.disarm_links(text, counts)
    counts["image"] += text.count("![")
    counts["link"] += text.count("](")
    text = text.replace("![", "!\\[").replace("](", "]\\(").replace("]\\(" + _KEPT, "](" + _KEPT)
    text = text.replace("]:", "]\\:")
    text = inert.disarm_references(inert.disarm_mentions(text, counts), counts)
    return _disarm_tex(inert.disarm_commands(text, counts), counts)


def _disarm_code(pieces: list[str], counts: Counter[str]) -> list[str]:
    """Apply the rules that hold inside code too: what a log, a squash merge or our own search would act upon."""
    if not pieces:
        return pieces
    text = _CODE.join(pieces)
    text = inert.disarm_closing_in_code(inert.disarm_commands(text, counts), counts)
    if "<!--" in text:
        text, count = _MARKER.subn(TWINS["<"], text)
        counts["markup"] += count
    return _disarm_tex(text, counts).split(_CODE)


def _disarm_tex(text: str, counts: Counter[str]) -> str:
    if "\\" not in text:
        return text
    text, count = _TEX.subn(TWINS["\\"], text)
    counts["markup"] += count
    return text
