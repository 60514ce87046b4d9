"""Signatures: what errors of one cause have in common, though each names another order."""

from __future__ import annotations

import re
from typing import Final

SIGNATURE_CHARACTERS: Final = 120
LOOKED_AT: Final = 500
"""Characters of a message from which its signature is made."""
SILENT: Final = "(no message)"

_QUOTED: Final = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).){0,200}\1(?!\w)", re.DOTALL)
_ONLY_QUOTED: Final = re.compile(r"(['\"`])(?:(?!\1).)*\1", re.DOTALL)
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_TOKEN: Final = re.compile(r"[\w-]+")
_DIGIT: Final = re.compile(r"\d")
_NUMBERED: Final = re.compile(r"-?\d+|([^\W\d_]{1,30}[_-]?)\d+")
_HEX: Final = re.compile(r"(?=.*[a-fA-F])[0-9a-fA-F]{8,}")
_SPACES: Final = re.compile(r"\s+")


def signature_of(message: str) -> str:
    """A message without what differs from event to event; 1 to 120 characters, no digit in it.

    Numbers become `#`, also behind a word (`order-17` is `order-#`); what else holds a digit,
    as hexadecimal ids do, `<id>`; and quoted texts `'…'`. A message
    that is one quoted text and nothing else, as that of a KeyError, is kept: it is all there is.
    """
    text = _SPACES.sub(" ", message[:LOOKED_AT]).strip()
    text = _TOKEN.sub(_named, _NUMBER.sub(_joined, text))
    if not _ONLY_QUOTED.fullmatch(text):
        text = _QUOTED.sub("'…'", text)
    return text[:SIGNATURE_CHARACTERS].strip() or SILENT


def _joined(found: re.Match[str]) -> str:
    """A number of several parts, such as an amount or a time of day, as one of one part."""
    parts = found[0]
    return parts if parts.isdecimal() else "0"


def _named(found: re.Match[str]) -> str:
    token = found[0]
    if not _DIGIT.search(token):
        return token
    numbered = None if _HEX.fullmatch(token) else _NUMBERED.fullmatch(token)
    return f"{numbered[1] or ''}#" if numbered else "<id>"
