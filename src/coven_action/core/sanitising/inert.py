"""The rules that make text inert for GitHub and the Actions runner, shared by Markdown, titles, commits and logs.

Pure. Almost every rule replaces one ASCII character by its full-width twin (`@` by U+FF20 and so on). A twin reads the
same to people, means nothing to GitHub, needs no knowledge of the surroundings (Markdown, commit message, code, title),
is no format character, and is left alone by a second run: that is why twins and not backslashes or zero-width joiners.
"""

import re
from collections import Counter
from typing import Final

TWINS: Final = {character: chr(ord(character) + 0xFEE0) for character in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}

# https://docs.github.com/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue lists
# the nine keywords; a colon and any case are accepted. Only needed where plain references stay, that is in code.
CLOSING_KEYWORD: Final = (
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s{1,9}(?:issues?\s{1,9})?(?:[\w.-]{1,100}/[\w.-]{1,100})?"
)
_CLOSING_NUMBER: Final = re.compile(rf"({CLOSING_KEYWORD})#(?=\d)", re.IGNORECASE)
_CLOSING_GH: Final = re.compile(rf"({CLOSING_KEYWORD}GH)-(?=\d)", re.IGNORECASE)
_CLOSING_URL: Final = re.compile(rf"({CLOSING_KEYWORD}<?https?)://", re.IGNORECASE)

_NUMBER: Final = re.compile(r"#(?=\d)")
_GH_NUMBER: Final = re.compile(r"-(?<=\bGH-)(?=\d)", re.IGNORECASE)
# A backslash before a slash vanishes when Markdown is rendered, so it must not hide the separator from us.
_SCHEME: Final = re.compile(r":\\?/\\?/")
_WWW: Final = re.compile(r"\.(?:(?<=www\.)|(?<=www\\\.))", re.IGNORECASE)

# The runner trims the line and then looks for `::`; the older `##[command]` is found anywhere in a line
# (actions/runner, ActionCommand.cs).
_COMMAND: Final = re.compile(r"(\n[^\S\n]*+):(?=:)")
# A path such as `/usr/bin` has a second slash in its first word and is no command of any bot.
_SLASH_COMMAND: Final = re.compile(r"(\n[^\S\n]*+)/(?=[A-Za-z])(?![^\s/]*+/)")
# https://docs.github.com/actions/how-tos/manage-workflow-runs/skip-workflow-runs: a commit that says so runs no checks.
_SKIP: Final = re.compile(r"\[(?=(?:skip|no|ci|actions)[ _-](?:ci|actions|skip)\])", re.IGNORECASE)
_SKIP_TRAILER: Final = re.compile(r"(-(?<=\bskip-)checks[ \t]*+):", re.IGNORECASE)


def _substitute(pattern: re.Pattern[str], replacement: str, text: str, kind: str, counts: Counter[str]) -> str:
    """Replace every match but for its group, which stands in front. A function is far quicker than a template here."""
    text, count = pattern.subn((lambda match: match[1] + replacement) if pattern.groups else replacement, text)
    counts[kind] += count
    return text


def _replace(old: str, new: str, text: str, kind: str, counts: Counter[str]) -> str:
    count = text.count(old)
    if not count:
        return text
    counts[kind] += count
    return text.replace(old, new)


def disarm_commands(text: str, counts: Counter[str]) -> str:
    """Make workflow commands, slash commands and skip instructions inert, wherever they stand, in code too."""
    text = _replace("##[", "##" + TWINS["["], text, "command", counts)
    # Expressions that begin with a literal line feed are many times faster than `^`, so the text gets one in front.
    text = "\n" + text
    if "::" in text:
        text = _substitute(_COMMAND, TWINS[":"], text, "command", counts)
    if "/" in text:
        text = _substitute(_SLASH_COMMAND, TWINS["/"], text, "command", counts)
    text = _substitute(_SKIP, TWINS["["], text, "command", counts)
    return _substitute(_SKIP_TRAILER, TWINS[":"], text, "command", counts)[1:]


def disarm_mentions(text: str, counts: Counter[str]) -> str:
    """Make every mention and e-mail address inert."""
    return _replace("@", TWINS["@"], text, "mention", counts)


def disarm_references(text: str, counts: Counter[str]) -> str:
    """Make every reference to an issue or pull request inert: `#12`, `owner/repo#12`, `GH-12`.

    This disarms closing keywords as well, and keeps hostile text from leaving back-links in other people's issues.
    """
    text = _substitute(_NUMBER, TWINS["#"], text, "reference", counts)
    return _substitute(_GH_NUMBER, TWINS["-"], text, "reference", counts)


def disarm_links(text: str, counts: Counter[str]) -> str:
    """Make every address inert in the customary way of security reports: `https[:]//host`, `www[.]host`."""
    text = _substitute(_SCHEME, "[:]//", text, "link", counts)
    return _substitute(_WWW, "[.]", text, "link", counts)


def disarm_closing_in_code(text: str, counts: Counter[str]) -> str:
    """Make references behind closing keywords inert where other references stay.

    GitHub reads no keyword inside code, but a squash merge may turn the pull request's body into a commit message,
    where there is no code.
    """
    lowered = text.lower()
    if not any(keyword in lowered for keyword in ("close", "fix", "resolve")):
        return text
    if _NUMBER.search(text):
        text = _substitute(_CLOSING_NUMBER, TWINS["#"], text, "reference", counts)
    if "gh-" in lowered:
        text = _substitute(_CLOSING_GH, TWINS["-"], text, "reference", counts)
    return _substitute(_CLOSING_URL, "[:]//", text, "reference", counts) if "://" in text else text
