"""HTML as far as the sanitiser must know it: which elements exist, and which tags hide what follows them. Pure.

Sources: https://html.spec.whatwg.org/#elements-3 and https://spec.commonmark.org/0.31.2/#html-blocks.
"""

import html
import re
from typing import Final


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Elements whose content is not shown, or not as text.
HIDDEN_ELEMENTS: Final = _names(
    "applet audio canvas datalist details dialog embed frame frameset head iframe map math noembed noframes noscript "
    "object rp script select style svg template textarea title video xmp"
)
VOID_ELEMENTS: Final = _names("area base br col embed frame hr img input link meta param source track wbr")
# Elements that begin an HTML block, in which backticks and fences mean nothing (conditions 1 and 6).
BLOCK_ELEMENTS: Final = _names(
    "address article aside base basefont blockquote body caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link "
    "main menu menuitem nav noframes ol optgroup option p param pre script search section style summary table tbody td "
    "textarea tfoot th thead title tr track ul"
)
RAW_ELEMENTS: Final = frozenset({"pre", "script", "style", "textarea"})
INLINE_ELEMENTS: Final = _names(
    "abbr bdi bdo br button cite code data del dfn em embed font img input ins kbd label mark meter object output "
    "picture progress rp rt ruby samp select slot small source span strike strong sub sup svg template time tt var "
    "video audio wbr"
)
SPACING_ELEMENTS: Final = BLOCK_ELEMENTS | {"br"}

LONG_NAMES: Final = "|".join(
    sorted(name for name in BLOCK_ELEMENTS | INLINE_ELEMENTS | HIDDEN_ELEMENTS if len(name) > 1)
)

# A longer tag hides something, whatever its attributes are. (Python also refuses to read longer numbers of entities.)
_LONGEST_TAG: Final = 4000
# Attributes and declarations that hide an element. GitHub drops most of them, other readers of the issue do not.
_HIDING: Final = re.compile(
    r"[\s\"'/](?:hidden|inert|popover)(?=[\s=/>]|\Z)|aria-hidden|display:none|visibility:(?:hidden|collapse)"
    r"|opacity:0|font-size:0|font:0|(?:^|[^-])color:(?:#f{3,8}\b|white|transparent|rgba)"
    r"|(?:height|width):0|text-indent:-|(?:left|top|right|bottom):-|clip(?:-path)?:|type=[\"']?hidden",
    re.IGNORECASE,
)
_OPEN_ATTRIBUTE: Final = re.compile(r"[\s\"']open(?=[\s=/>])", re.IGNORECASE)
_CSS_COMMENT: Final = re.compile(r"/\*(?>(?:[^*]|\*(?!/))*)(?:\*/|\Z)")
_CSS_SPACE: Final = re.compile(r"(?<=:)\s++|(?<!\s)\s++(?=:)")


def check_hides(name: str, tag: str) -> bool:
    """Tell whether an opening tag hides what follows it."""
    if len(tag) <= len(name) + len("</>"):
        return name in HIDDEN_ELEMENTS
    if len(tag) > _LONGEST_TAG:
        return True
    decoded = _CSS_SPACE.sub("", _CSS_COMMENT.sub("", html.unescape(tag)))
    if _HIDING.search(decoded) or ("\\" in decoded and "style" in decoded.lower()):
        return True
    return name in HIDDEN_ELEMENTS and not (name == "details" and _OPEN_ATTRIBUTE.search(tag))
