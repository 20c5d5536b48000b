"""Markup cannot be broken by what stands in it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.report.markup import Markup, breakable, element, embedded_json, joined

# NUL and line ends are changed by every HTML parser; surrogates cannot be written at all.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(TEXT, TEXT)
def test_text_and_attributes_come_back_as_they_were(text: str, attribute: str) -> None:
    parsed = Parsed(element("p", text, title=attribute))
    assert parsed.tags == [("p", {"title": attribute})]
    assert parsed.text == text


@settings(max_examples=40)
@given(st.recursive(TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_json_cannot_end_its_script(content: object) -> None:
    text = embedded_json(content)
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text) == content


def test_markup_is_taken_as_it_is_and_nothing_else() -> None:
    assert joined([Markup("<b>"), "<b>", None, ""]) == "<b>&lt;b&gt;"
    # Adding strings makes plain text of markup: it is escaped again instead of trusted.
    assert joined([Markup("<i>") + "x"]) == "&lt;i&gt;x"


@given(TEXT)
def test_a_name_that_may_break_reads_as_before(name: str) -> None:
    assert Parsed(breakable(name)).text == name


def test_attributes_are_named_as_html_names_them() -> None:
    assert element("td", "x", class_="a", aria_label="b", data_value=None, hidden=True) == (
        '<td class="a" aria-label="b" hidden>x</td>'
    )
    assert element("br") == "<br>"
