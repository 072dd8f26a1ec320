"""Jinja2 over the Markdown templates beside this file. Every value is shown inert unless a filter says otherwise."""

import re
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import jinja2

from coven_action.core.sanitising.sanitiser import cut_text, escape_markdown, render_code_span, sanitise_output

SECONDS_PER_MINUTE: Final = 60
_OWN_COMMAND: Final = re.compile(r"/[a-z][a-z0-9-]{0,31} [a-z]{1,20}")
# Characters of somebody's text that a page of ours quotes; GitHub's limit for a page is 65,536.
QUOTED: Final = 20_000
QUOTATION_CUT: Final = "\n\n*Cut here; the rest is in the run's artifacts.*"


class MarkdownTemplates:
    """Renders the templates of this package."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("coven_action.adapters", "markdown"),
            undefined=jinja2.StrictUndefined,
            # Markdown has its own escapes; HTML's would show. `finalize` makes every value inert that no filter has made so.
            autoescape=False,  # noqa: S701
            finalize=_inert,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.filters.update(FILTERS)

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the rendered template."""
        return self._environment.get_template(template).render(values).strip() + "\n"


class _Markdown(str):
    """Text that is Markdown on purpose: made inert by a filter, or built by us from numbers and names of ours."""

    __slots__ = ()


def _inert(value: Any) -> str:
    if isinstance(value, _Markdown):
        return value
    return escape_markdown(str(value))


def _code(value: Any) -> _Markdown:
    # A command of ours is shown as people write it: in the middle of a line it commands nobody.
    if _OWN_COMMAND.fullmatch(str(value)):
        return _Markdown(f"`{value}`")
    return _Markdown(render_code_span(str(value)))


def _quote(value: Any, limit: int = QUOTED) -> _Markdown:
    """Show somebody's Markdown as a quotation, inert: no mention, link, image or closing keyword acts.

    A longer one is cut, so that what we say after it is never what GitHub's own limit takes away.
    """
    lines = cut_text(sanitise_output(str(value)).text.strip(), limit, QUOTATION_CUT).split("\n")
    return _Markdown("\n".join(f"> {line}".rstrip() for line in lines))


def _prose(value: Any) -> _Markdown:
    """Show a sentence of ours, which may hold code and names from elsewhere: Markdown, but inert."""
    return _Markdown(sanitise_output(str(value)).text.strip())


def _block(value: Any) -> _Markdown:
    """Show a text as it is, in a code block that nothing in it can end."""
    text = str(value)
    fence = "~" * (max((len(run) for run in re.findall(r"~+", text)), default=2) + 1)
    return _Markdown(sanitise_output(f"{fence}text\n{text}\n{fence}\n").text.strip())


def _advice(value: Any) -> _Markdown:
    """Show a remedy: a sentence, and the lines to write, if it has any, as they are to be written."""
    sentence, _, lines = str(value).partition("\n")
    return _Markdown(f"{_prose(sentence)}\n\n{_block(textwrap.dedent(lines))}" if lines else _prose(sentence))


def _row(text: str, thread_number: int) -> _Markdown:
    """Show a row's text inert, but for the number of the thread at its beginning, which is ours and may link."""
    own = f"#{thread_number} "
    if text.startswith(own):
        return _Markdown(own + escape_markdown(text.removeprefix(own)))
    return _Markdown(escape_markdown(text))


def _own(value: Any) -> _Markdown:
    """Pass on what is ours: addresses built from the plan's server, numbers, and the hidden marker."""
    return _Markdown(value)


def _duration(seconds: float) -> _Markdown:
    if seconds < SECONDS_PER_MINUTE:
        return _Markdown(f"{seconds:.1f} s")
    minutes, rest = divmod(int(timedelta(seconds=seconds).total_seconds()), SECONDS_PER_MINUTE)
    return _Markdown(f"{minutes} min {rest} s")


FILTERS: Final = {
    "advice": _advice,
    "block": _block,
    "code": _code,
    "duration": _duration,
    "own": _own,
    "prose": _prose,
    "quoted": _quote,
    "row": _row,
}
