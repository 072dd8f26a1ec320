"""Jinja2 over the Markdown templates beside this file. Every value is shown inert unless a filter says otherwise."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import jinja2

from coven_action.core.sanitising import escape_markdown, render_code_span, sanitise_output

SECONDS_PER_MINUTE: Final = 60


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
    return _Markdown(render_code_span(str(value)))


def _quote(value: Any) -> _Markdown:
    """Show somebody's Markdown as a quotation, inert: no mention, link, image or closing keyword acts."""
    lines = sanitise_output(str(value)).text.strip().splitlines()
    return _Markdown("\n".join(f"> {line}".rstrip() for line in lines))


def _prose(value: Any) -> _Markdown:
    """Show a sentence of ours, which may hold code and names from elsewhere: Markdown, but inert."""
    return _Markdown(sanitise_output(str(value)).text.strip())


def _block(value: Any) -> _Markdown:
    """Show a text as it is, in a code block."""
    return _Markdown(sanitise_output(f"~~~~~~~~text\n{value}\n~~~~~~~~\n").text.strip())


def _own(value: Any) -> _Markdown:
    """Pass on what is ours: addresses built from the plan's server, numbers, and the hidden marker."""
    return _Markdown(value)


def _duration(seconds: float) -> _Markdown:
    if seconds < SECONDS_PER_MINUTE:
        return _Markdown(f"{seconds:.1f} s")
    minutes, rest = divmod(int(timedelta(seconds=seconds).total_seconds()), SECONDS_PER_MINUTE)
    return _Markdown(f"{minutes} min {rest} s")


FILTERS: Final = {"code": _code, "quoted": _quote, "prose": _prose, "block": _block, "own": _own, "duration": _duration}
