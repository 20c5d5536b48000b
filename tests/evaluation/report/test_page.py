"""The page in a browser: no errors, no network, no sideways scrolling, tables that sort, paper that shows all."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "br", "input", "col", "wbr"}


class Outline(HTMLParser):
    """Reads a page strictly: what opens must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name in ("href", "src"):
            address = str(found.get(name, ""))
            (self.links if address.startswith("#") else self.addresses).append(address)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    return Outline(page.read_text(encoding="utf-8"))


def test_everything_that_opens_closes_and_every_link_leads_somewhere(outline: Outline) -> None:
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link} <= set(outline.ids)


def test_nothing_is_asked_for_from_elsewhere(outline: Outline) -> None:
    assert all(address.startswith("data:image/jpeg;base64,") for address in outline.addresses if address)


def test_headings_do_not_skip_a_level(outline: Outline) -> None:
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    pairs = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(below <= above + 1 for above, below in pairs)


def test_no_error_and_no_request_in_a_browser(browser, page: Path) -> None:
    browser.open(page)
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]


def test_a_script_in_a_species_name_is_only_text(browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.title").startswith("phytobench report")
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert "<script>document.title" in browser.run("document.querySelector('#species').textContent")
    # Were one to slip through, the page's own policy would refuse it.
    browser.run(
        "{const s = document.createElement('script'); s.textContent = 'document.title=1'; document.body.append(s)}"
    )
    assert browser.run("document.title").startswith("phytobench report")


def test_the_figures_can_be_read_by_a_program(browser, page: Path) -> None:
    browser.open(page)
    figures = json.loads(browser.run("document.getElementById('figures').textContent"))
    assert figures["schema"] == "report/1"
    best = next(score for score in figures["scores"] if score["metric"] == "S")
    assert f"{best['value']:.4f}" == browser.run("document.querySelectorAll('#leaderboard tr.best td')[1].textContent")


@pytest.mark.parametrize(("width", "script"), [(320, True), (360, True), (360, False), (768, True)])
def test_a_page_does_not_scroll_sideways(browser, page: Path, width: int, script: bool) -> None:
    browser.open(page, width, script=script)
    assert browser.run("document.documentElement.scrollWidth") <= width
    # Unfolded as well.
    browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
    assert browser.run("document.documentElement.scrollWidth") <= width


COLUMN = (
    "[...document.querySelectorAll('#species tbody tr')].filter(row => !row.hidden)"
    ".map(row => row.cells[{}].textContent)"
)


def test_tables_sort_by_click_and_by_keyboard(browser, page: Path) -> None:
    browser.open(page)
    head = "document.querySelectorAll('#species thead th')[{}]"
    before = browser.run(COLUMN.format(0))
    browser.run(head.format(0) + ".querySelector('button').click()")
    assert browser.run(head.format(0) + ".getAttribute('aria-sort')") == "ascending"
    assert browser.run(COLUMN.format(0)) == sorted(before, key=str.lower)
    browser.run(head.format(5) + ".querySelector('button').focus()")
    for order in ("descending", "ascending"):
        browser.press("Enter")
        assert browser.run(head.format(5) + ".getAttribute('aria-sort')") == order
        values = [float(value) for value in browser.run(COLUMN.format(5))]
        assert values == sorted(values, reverse=order == "descending")
    assert browser.run("document.querySelectorAll('#species [aria-sort]').length") == 1
    assert sorted(browser.run(COLUMN.format(0))) == sorted(before)


def test_tables_filter_by_every_word_whatever_case_and_accent(browser, page: Path) -> None:
    browser.open(page)
    write = (
        "(() => {{const box = document.querySelector('#species input'); box.value = {}; "
        "box.dispatchEvent(new Event('input')); return document.querySelector('#species output').textContent}})()"
    )
    rows = browser.run("[...document.querySelectorAll('#species tbody tr')].map(row => row.textContent)")
    expected = [row for row in rows if "campestre" in row and "Acer" in row]
    assert 0 < len(expected) < 4
    assert browser.run(write.format("'CAMPESTRE ácer'")) == f"{len(expected)} of 4"
    assert "Acer campestre" in browser.run(COLUMN.format(0))
    assert browser.run(write.format("'nothing like it'")) == "0 of 4"
    assert browser.run(write.format("''")) == "4"
    assert len(browser.run(COLUMN.format(0))) == 4


def test_without_script_there_are_plain_tables_and_no_dead_controls(browser, page: Path) -> None:
    browser.open(page, script=False)
    assert browser.run("document.querySelectorAll('input, button').length") == 0
    assert len(browser.run(COLUMN.format(0))) == 4


def test_paper_shows_what_is_folded_and_no_controls(browser, page: Path) -> None:
    browser.open(page, 690)
    shown = "[...document.querySelectorAll('{}')].map(part => part.checkVisibility())"
    folded = "#worst details .image"
    assert not any(browser.run(shown.format(folded)))
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert all(browser.run(shown.format(folded)))
        assert not any(browser.run(shown.format(".filter, nav, summary")))
        clipped = (
            "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)"
            ".map(box => box.ariaLabel + ' ' + box.scrollWidth)"
        )
        assert browser.run(clipped) == []
        assert browser.run("document.documentElement.scrollWidth") <= 690
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, page: Path, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 for text."""
    browser.open(page)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        style = browser.run(
            "(() => {const style = getComputedStyle(document.documentElement); return Object.fromEntries("
            "'ground surface tint faint ink soft accent right wrong'.split(' ')"
            ".map(name => [name, style.getPropertyValue('--' + name).trim()]))})()"
        )
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])
    for ground in ("ground", "surface", "tint"):
        for ink in ("ink", "soft", "accent", "right", "wrong"):
            assert contrast(style[ink], style[ground]) >= 4.5, (ink, ground)


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(2 * sign for sign in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_photograph_has_a_name_and_appears(browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.querySelectorAll('svg.photo:not(:has(> title))').length") == 0
    assert browser.run("document.querySelectorAll('svg.photo').length") > 10
    assert browser.run("document.querySelectorAll('.absent').length") == 0
    # The box of the store over each photograph of the worst observations.
    assert browser.run("document.querySelectorAll('#worst .photographs svg').length") == browser.run(
        "document.querySelectorAll('#worst .photographs .roi').length"
    )
