"""Content: what a file is instead of a photograph, told by its first bytes and never by its name."""

from __future__ import annotations

FIRST_BYTES = 512
"""As much of a file as tells what it is."""

_HEIC = "a HEIC or AVIF picture"
_HEIC_BRANDS = {b"heic", b"heix", b"mif1", b"hevc", b"msf1", b"avif"}
_TELLING = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
    b"<!DO": "a web page",
    b"<htm": "a web page",
}
_SHOWN = {_HEIC, "a PDF document", "an SVG drawing"}
"""What other programs show as a picture, and save as one."""


def kind_of(data: bytes) -> str:
    r"""Say what a file is that is no photograph, as far as its first bytes tell.

    >>> kind_of(b"\0\0\0\x18ftypheic"), kind_of(b"%PDF-1.7"), kind_of(b"\xff\0"), kind_of(b"Dear diary")
    ('a HEIC or AVIF picture', 'a PDF document', 'a file that is no photograph', 'a text file')
    """
    first = data[:FIRST_BYTES]
    if first[4:8] == b"ftyp" and first[8:12] in _HEIC_BRANDS:
        return _HEIC
    for start, kind in _TELLING.items():
        if first.lstrip().startswith(start):
            return kind
    return "a text file" if _is_text(first) else "a file that is no photograph"


def remedy_for(kind: str) -> str:
    """Say what to do about a file of such a kind."""
    return "Save it as JPEG." if kind in _SHOWN else "Remove or replace it."


def _is_text(data: bytes) -> bool:
    try:
        # A character may be cut in half at the end.
        text = data[:-3].decode("utf-8") if len(data) == FIRST_BYTES else data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.isprintable() or not any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text)
