"""Write an entry's file: front matter and text, in the form that `entry_parsing` reads back. Pure."""

import json

from coven_action.core.memory.entries import MemoryEntry, Source


def render_entry(entry: MemoryEntry) -> str:
    """Return the file of an entry, ready to commit. Reading it gives the entry again."""
    lines = [
        "---",
        f"kind: {entry.kind}",
        f"scope: {entry.scope}",
        f"shareable: {'true' if entry.shareable else 'false'}",
        *([f"branches: [{', '.join(_quote(branch) for branch in entry.branches)}]"] if entry.branches else []),
        f"source: {{{_render_source(entry.source)}}}",
        "citations:",
        *(
            f"  - {{path: {_quote(citation.path)}, start: {citation.start}, end: {citation.end},"
            f" sha256: {_quote(citation.sha256)}}}"
            for citation in entry.citations
        ),
        *([f"expires: {entry.expires.isoformat()}"] if entry.expires else []),
        "---",
        "",
        entry.text,
        "",
    ]
    return "\n".join(lines)


def _render_source(source: Source) -> str:
    if source.person is not None:
        return f"person: {_quote(source.person)}"
    numbers = {"run": source.run, "pull_request": source.pull_request}
    return ", ".join(f"{name}: {number}" for name, number in numbers.items() if number is not None)


def _quote(text: str) -> str:
    # A JSON string is a YAML one with the same meaning, but for escaped pairs of surrogates: so nothing visible is escaped.
    return json.dumps(text, ensure_ascii=False)
