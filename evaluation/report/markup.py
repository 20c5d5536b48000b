"""Markup: HTML and SVG elements in which text is escaped unless it is markup already."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape

from featstore.provenance import Json

VOID = frozenset({"br", "col", "input", "meta", "wbr"})


class Markup(str):
    """Text that is HTML already; everything else is escaped before it stands in a page."""

    __slots__ = ()


Child = str | None
Attribute = str | int | float | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Write an element.

    Parameters
    ----------
    name
        Its tag.
    children
        Markup is taken as it is, other text is escaped, None is left out.
    attributes
        Escaped and quoted; None and False are left out, True stands alone. ``aria_label`` is written ``aria-label``,
        ``class_`` without its line.

    >>> element("td", "<script>", class_="name")
    '<td class="name">&lt;script&gt;</td>'
    """
    opening = "".join([name, *(_attribute(key, value) for key, value in attributes.items())])
    if name in VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Put children behind one another, each escaped unless it is markup."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children if child))


def breakable(name: str) -> Markup:
    """Let a long name break where its parts meet, ``+``, ``-``, ``_`` and ``/``, instead of within a word.

    >>> breakable("vgg16+vgg19-mlp")
    'vgg16+<wbr>vgg19-<wbr>mlp'
    """
    parts = re.split(r"(?<=[+\-_/])(?=.)", name)
    return Markup(str(element("wbr")).join(escape(part) for part in parts))


def embedded_json(content: Json) -> Markup:
    """JSON that can stand in a script element: nothing in it can close the element or open a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {name}="{escape(text)}"'
