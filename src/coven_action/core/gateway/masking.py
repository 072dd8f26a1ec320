"""Cover the model's key in what comes back from the model's host. Pure, streaming, of equal length.

A host may repeat the key in an error. The agent must not read it there, so every form of it that `redaction` knows is
covered by as many asterisks, whatever the chunks. Equal length keeps every announced length true. Only bytes that may be
the beginning of the key are held back, so that a streamed answer passes on at once; the redactor's wide window, which sees
pieces and split values as well, would stop the stream. What leaves the run passes through that one later.
"""

from typing import Final
from urllib.parse import quote

from coven_action.core.redaction.encodings import WHOLE, build_forms


class KeyMask:
    """Covers one key in one stream of bytes.

    Args:
        forms: What is covered, see `build_key_forms`.
    """

    def __init__(self, forms: frozenset[bytes]) -> None:
        self._forms: Final = forms
        self._raw = b""
        self._masked = b""

    def __repr__(self) -> str:
        """Return a text without the key."""
        return "KeyMask()"

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return what can be passed on by now."""
        return self._cover(chunk, final=False)

    def finish(self) -> bytes:
        """Return what was held back."""
        return self._cover(b"", final=True)

    def _cover(self, chunk: bytes, *, final: bool) -> bytes:
        raw = self._raw + chunk
        masked = bytearray(self._masked + chunk)
        for form in self._forms:
            start = raw.find(form)
            while start >= 0:
                masked[start : start + len(form)] = b"*" * len(form)
                start = raw.find(form, start + 1)
        cut = len(raw) if final else min((_find_beginning(raw, form) for form in self._forms), default=len(raw))
        self._raw, self._masked = raw[cut:], bytes(masked[cut:])
        return bytes(masked[:cut])


def build_key_forms(key: str) -> frozenset[bytes]:
    """Return the forms of a key that are covered: raw, reversed, escaped, hexadecimal, base64 in every alignment."""
    forms = {form.text for form in build_forms(key) if len(form.text) >= WHOLE}
    plain = (key, key.lower(), key.upper(), quote(key, safe=""))  # names of hosts are shown in lower case
    return frozenset(forms.union(text.encode() for text in plain))


def mask_bytes(data: bytes, forms: frozenset[bytes]) -> bytes:
    """Return a whole text with the key covered."""
    mask = KeyMask(forms)
    return mask.feed(data) + mask.finish()


def _find_beginning(raw: bytes, form: bytes) -> int:
    """Return where the longest beginning of a form stands at the end of the bytes."""
    start = raw.find(form[:1], max(len(raw) - len(form) + 1, 0))
    while start >= 0:
        if form.startswith(raw[start:]):
            return start
        start = raw.find(form[:1], start + 1)
    return len(raw)
