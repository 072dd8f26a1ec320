"""Find instruction-like text aimed at an agent or a reviewer. Pure, and linear: gaps are bounded, or end with their word.

A fact about a repository says how things are; whoever poisons a memory says what to do. The table below is a coarse net
and no proof: a fact that is caught can be reworded, and what slips through still waits for a person, is quoted as data
where it is read, and can change no policy.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from coven_action.core.sanitising.invisible import remove_invisible

# Letters of other alphabets that look like Latin ones; Unicode's compatibility forms do not cover them.
# https://www.unicode.org/Public/security/latest/confusables.txt, the ones a lower-case English word can be built from.
_LOOK_ALIKES: Final = str.maketrans(
    "\u0430\u0441\u0435\u0501\u04bb\u0456\u0458\u04cf\u043e\u0440\u0455\u0442\u0443\u0445\u051b\u051d\u043c\u043a\u043d"
    "\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0261\u0432",
    "acedhijlopstyxqwmkhaeiknoptuxigb",
)
# Accents, and the signs of Markdown that can stand inside a word without being seen.
_MARKS: Final = re.compile("[\u0300-\u036f*`~\\\\]+")
# At most sixty characters of the same sentence, and then the beginning of a word.
_GAP: Final = r"[^.!?\n]{1,60}?(?<!\w)"
_RULES: Final = (
    r"(?:instruction|direction|guideline|rule|polic(?:y|ie)|prompt|restriction|safeguard|constraint|guardrail"
    r"|anweisung(?:en)?|regel|instruccione?|regla|consigne)s?\b"
)
_READER: Final = (
    r"(?:agent|assistant|(?:language )?model|familiar|reviewer|maintainer|copilot|claude|codex|gemini|llm|ai)s?"
)
_DUTY: Final = r"(?:must|shall|should|will|has to|have to|needs? to|(?:is|are) (?:to|now|allowed|required))\b"
_REVIEWING: Final = r"(?:review|approv\w*|asking|confirm\w*|verif\w*|permission)\b"
_CHECKING: Final = r"(?:review|approv\w*|verif\w*|checks?|tests?|ci|scan\w*)\b"
_SECRETS: Final = (
    r"(?:secrets?|tokens?|credentials?|passwords?|(?:api|private) keys?|environment variables|\.env|/proc/\w+"
    r"|id_rsa)\b"
)

_EXPRESSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "it tells a reader to set rules aside": (
        (
            rf"\b(?:ignor\w*|disregard|forget|override|bypass|circumvent|oublie[zr]?|olvid[ae]|vergiss)\b{_GAP}"
            rf"(?:{_RULES}|(?:previous|prior|above|earlier)\b)"
        ),
    ),
    "it addresses the reader": (
        r"\byou (?:must|should|shall|will|need to|have to|may (?:now|skip))\b",
        r"\byou are (?:to|now|an?|no longer|allowed|required|free)\b",
        rf"\b{_READER},? {_DUTY}",
    ),
    "it gives the reader another role": (
        r"\b(?:act as|pretend (?:to|that)|roleplay|jailbreak|developer mode|god mode|system prompt|new instructions?)\b",
    ),
    "it imitates the marks of a conversation": (
        r"<\|?/?(?:im_start|im_end|system|assistant|user|human|instructions?|memory|tool_\w{1,20})\b",
        r"\[/?inst\]",
        r"(?:^|\n)\W{0,8}(?:system|assistant|human|user|developer)\W{0,3}:",
    ),
    "it asks for less review": (
        rf"\b(?:without|no need (?:for|of|to)) (?:\w{{1,12}} )?{_REVIEWING}",
        rf"\b(?:skip|omit|disable)(?: the| any| all)? {_CHECKING}",
        (
            r"\b(?:approve|merge|accept|lgtm)\b[^.!?\n]{1,20}?"
            r"\b(?:this|these|every|all|any|the) (?:change|pull request|pr|patch|proposal)"
        ),
        r"\b(?:auto-?merge|auto-?approve)\b|\bpre-?approved\b",
    ),
    "it asks for silence": (
        r"\b(?:do not|don't|dont|never) (?:tell|mention|report|reveal|show|flag|ask|warn|disclose|inform|comment on)\b",
    ),
    "it asks for secrets to be handed on": (
        rf"\b(?:send|post|upload|exfiltrate|leak|print|echo|reveal|dump)\b{_GAP}{_SECRETS}",
    ),
    "it asks to run what is fetched": (
        (
            r"\b(?:curl|wget|fetch|iwr|invoke-webrequest)\b[^\n|]{0,300}\|\s{0,8}(?:sudo )?"
            r"(?:(?:ba|z|da|k)?sh|python3?|node|perl|iex)\b"
        ),
        r"\beval\b[^\n]{0,20}\$\(",
        r"\bbase64 (?:-d|--decode)\b[^\n|]{0,100}\|",
    ),
    "it speaks for all time": (
        r"\b(?:from now on|in (?:all|every) (?:future|later|following))\b",
        r"\b(?:for|in|on|before|after) (?:every|each|all|any) (?:task|session|review|reply|answer)s?\b",
        r"\b(?:always|must|important:?|mandatory:?) (?:obey|comply|follow (?:these|this|the following|my)|trust|approve)\b",
    ),
    "it asks to change what agents are told or who reviews": (
        (
            rf"\b(?:write|edit|add|append|change|modify|create|replace|delete|remove|insert|put)\b{_GAP}"
            r"(?:agents\.md|claude\.md|gemini\.md|\.mcp\.json|codeowners|coven\.yml|\.github/(?:workflows|coven)|\.git/|\.cursor)"
        ),
    ),
    "it includes another file": (r"(?:^|\s)@(?:include\b|[~./]|[\w-]{1,100}/)",),
}

PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    meaning: re.compile("|".join(expressions)) for meaning, expressions in _EXPRESSIONS.items()
}
"""What is refused, by the words people read. Each is searched in the folded text (`fold_text`)."""


def find_instruction(text: str) -> str | None:
    """Return why a text reads as an instruction to an agent or reviewer, None where it does not."""
    folded = fold_text(text)
    return next((meaning for meaning, pattern in PATTERNS.items() if pattern.search(folded)), None)


# Letters with a space after each: `i g n o r e`.
_SPREAD: Final = re.compile(r"(?<!\w)\w(?: \w){2,}(?!\w)")


def _close_up(match: re.Match[str]) -> str:
    return match[0].replace(" ", "")


def fold_text(text: str) -> str:
    """Return a text as a hurried reader takes it: lower case, look-alike letters as Latin ones, without accents and marks.

    Its lines come first and then its paragraphs, each on one line: a sentence may be wrapped, and a line may be a label.
    """
    visible, _ = remove_invisible(unicodedata.normalize("NFKD", text).casefold())
    plain = _MARKS.sub("", visible.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).translate(_LOOK_ALIKES)
    lines = [_SPREAD.sub(_close_up, " ".join(line.split())) for line in plain.split("\n")]
    paragraphs = " ".join(line or "\n" for line in lines).split("\n")
    return "\n".join([*lines, *(" ".join(paragraph.split()) for paragraph in paragraphs)])
