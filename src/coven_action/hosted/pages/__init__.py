"""What people see in a browser: plain pages without a script, made from values that whoever opens an issue may have chosen.

Every value is escaped by the template engine. A link is one only where it leads to http or https; the policy that goes
with every page allows its own style and nothing else, so that a mistake here runs nothing and loads nothing.
"""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import jinja2
from starlette.responses import Response

_LINK: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"`]+")


def is_link(text: object) -> bool:
    """Say whether a text may stand where a browser follows it: http or https, and nothing that ends an attribute."""
    return isinstance(text, str) and _LINK.fullmatch(text) is not None


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("coven_action.hosted", "pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.tests["link"] = is_link
# jinja's own `tojson` marks its text as safe; this one is escaped like any other.
_TEMPLATES.filters["tojson_text"] = functools.partial(json.dumps, ensure_ascii=False, sort_keys=True)
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;"
    "border-bottom:1px solid #8884;overflow-wrap:anywhere}code,pre{font-size:.9em}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-popups allow-top-navigation-by-user-activation"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""With every page. https://www.w3.org/TR/CSP3/"""


def render_page(
    name: str, values: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a page.

    Args:
        name: Its template's, without the ending.
        values: What stands in it.
        status: Of the answer.
        headers: Further ones.
    """
    text = _TEMPLATES.get_template(f"{name}.html.jinja").render(style=STYLE, **values)
    return Response(text, status, {**HEADERS, **(headers or {})}, "text/html")
