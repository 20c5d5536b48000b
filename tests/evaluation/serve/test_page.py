"""The page in a browser without a window: photographs in, a ranking that grows, errors in their place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.serve.app import ServeSettings
from evaluation.serve.limits import Limits

from ..report.conftest import FOUND, Page, open_browser
from .conftest import SPECIES, Greenness, panel_of, picture, running

pytestmark = pytest.mark.skipif(FOUND is None, reason="needs chromium")
STATE = "document.getElementById('state').textContent"
FAULT = "document.getElementById('fault').textContent"
TEXTS = "[...document.querySelectorAll('{}')].map(one => one.textContent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("plants")
    for colour in ("red", "lime", "blue", "green"):
        (found / f"{colour}.jpg").write_bytes(picture(colour, (300, 200)))
    (found / "notes.jpg").write_text("Dear diary, today I saw a daisy.")
    (found / "broken.jpg").write_bytes(picture("red", (640, 480))[:1500])
    (found / "large.jpg").write_bytes(picture("red") + bytes(2_100_000))
    return found


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with running(panel_of(Greenness(folder), 0.5), ServeSettings(limits=Limits(file_bytes=2_000_000))) as found:
        yield found


def wait_for(browser: Page, expression: str) -> Any:
    """The value of an expression as soon as it is true."""
    deadline = time.monotonic() + 60
    while not (value := browser.run(expression)):
        assert time.monotonic() < deadline, (expression, browser.run("document.body.innerText"))
        time.sleep(0.02)
    return value


def start(browser: Page, address: str, width: int = 1280) -> None:
    browser.open(f"{address}/", width)
    wait_for(browser, f"{STATE}.startsWith('Add a photograph')")


def choose(browser: Page, *paths: Path) -> None:
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def answered(browser: Page, n_photographs: int) -> None:
    wait_for(browser, f"!document.body.matches('.busy') && {STATE}.includes('by {n_photographs} photograph')")


def test_the_ranking_grows_photograph_by_photograph(browser: Page, address: str, folder: Path) -> None:
    start(browser, address)
    assert "colours, 4 species" in browser.run("document.getElementById('models').textContent")
    choose(browser, folder / "red.jpg")
    answered(browser, 1)
    assert browser.run("document.querySelector('.verdict').textContent") == SPECIES["10"]
    assert browser.run("document.querySelector('table')") is None
    view = "{const s = document.querySelector('select'); s.value = 'Flower'; s.dispatchEvent(new Event('change')); 1}"
    browser.run(view)
    choose(browser, folder / "lime.jpg", folder / "lime.jpg")
    answered(browser, 3)
    assert browser.run(TEXTS.format("thead th")) == ["With photograph", "1 flower", "+ 2", "+ 3"]
    first, second = browser.run(TEXTS.format("tbody tr"))[:2]
    assert second.startswith(SPECIES["10"])
    # Half for red, half for lime in between: the earlier class leads; in the end lime does.
    assert second.count("likeliest") == 2
    assert first.startswith(SPECIES["7"])
    # They grow after the answer is shown.
    wait_for(browser, "[...document.querySelectorAll('.track span')].every(one => one.style.width)")
    widths = browser.run("[...document.querySelectorAll('.track span')].map(one => parseFloat(one.style.width))")
    assert widths == sorted(widths, reverse=True)
    # The file of one training photograph is gone.
    assert [text for text in browser.complaints() if "404" not in text] == []


def test_notes_count_photographs_as_the_page_does(browser: Page, folder: Path) -> None:
    model = Greenness(folder)
    model.views = {"Flower": True}
    with running(panel_of(model, 0.5), ServeSettings()) as address:
        start(browser, address)
        choose(browser, folder / "red.jpg", folder / "lime.jpg")
        answered(browser, 2)
        (told,) = [text for text in browser.run(TEXTS.format(".notes li")) if "name the view" in text]
    assert "name the view of photograph 1, photograph 2 for" in told
    assert ".jpg" not in told


def test_nothing_but_this_server_is_asked_and_names_are_text(browser: Page, address: str, folder: Path) -> None:
    start(browser, address)
    choose(browser, folder / "lime.jpg")
    answered(browser, 1)
    assert browser.run("document.title") == "Which plant is this? - phytobench"
    assert SPECIES["7"] in browser.run("document.querySelector('.verdict').textContent")
    strip = "document.querySelectorAll('.strip img')[{}]"
    browser.run("document.getElementById('similar').scrollIntoView()")
    wait_for(browser, strip.format(1) + ".naturalWidth === 256")
    # The file of the third is gone.
    wait_for(browser, "document.querySelector('.strip .none')?.textContent === 'no photograph'")
    assert all(url.startswith((f"{address}/", "blob:")) for url in browser.requests())


def test_unknown_plants_are_told(browser: Page, address: str, folder: Path) -> None:
    (folder / "grey.jpg").write_bytes(picture("gray"))
    start(browser, address)
    choose(browser, folder / "grey.jpg")
    answered(browser, 1)
    assert "Probably none of the species" in browser.run("document.querySelector('.verdict').textContent")
    assert "probably an unknown species" in browser.run(STATE)


def test_errors_are_told_in_their_place_and_the_others_are_answered(browser: Page, address: str, folder: Path) -> None:
    start(browser, address)
    choose(browser, *(folder / name for name in ("red.jpg", "notes.jpg", "broken.jpg", "large.jpg", "blue.jpg")))
    answered(browser, 2)
    alone = browser.run(TEXTS.format(".cards .alone"))
    assert alone[0].startswith("Alone: Acer campestre")
    assert "got a text file: notes.jpg" in alone[1]
    assert "damaged" in alone[2]
    assert alone[3].startswith("Alone: Bellis perennis")
    assert browser.run(TEXTS.format(".cards .bad .name")) == ["notes.jpg", "broken.jpg"]
    assert "notes.jpg is left out" in browser.run(FAULT)
    assert browser.run("document.getElementById('fault').role") == "alert"
    # Told before it was sent.
    choose(browser, folder / "large.jpg")
    assert "large.jpg has 2.1 MB; at most 2 MB" in browser.run(FAULT)
    browser.run("document.getElementById('clear').click()")
    assert browser.run(FAULT) == ""
    choose(browser, folder / "notes.jpg")
    wait_for(browser, f"{STATE} === 'None of these photographs can be used.'")


def test_a_server_that_is_gone_is_told(browser: Page, folder: Path) -> None:
    with running(panel_of(Greenness(folder)), ServeSettings()) as address:
        start(browser, address)
    choose(browser, folder / "red.jpg")
    wait_for(browser, f"{FAULT}.startsWith('The server cannot be reached')")
    assert browser.run("document.querySelectorAll('.cards li').length") == 1


@pytest.mark.parametrize("width", [320, 375, 768])
def test_the_page_does_not_scroll_sideways(browser: Page, address: str, folder: Path, width: int) -> None:
    long = folder / f"{'a-very-long-name-' * 8}.jpg"
    long.write_bytes(picture("red"))
    start(browser, address, width)
    choose(browser, *[long] * 9)
    answered(browser, 9)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_everything_can_be_reached_and_has_a_name(browser: Page, address: str, folder: Path) -> None:
    start(browser, address)
    choose(browser, folder / "red.jpg", folder / "blue.jpg")
    answered(browser, 2)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "link", "image", "region", "list"}
    named = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one.get("ignored")]
    controls = [(role, name) for role, name in named if role in roles]
    assert ("button", "Remove red.jpg") in controls
    assert ("combobox", "It shows (blue.jpg)") in controls
    assert [role for role, name in controls if not name and role != "list"] == []
    # By keyboard alone: past the link that skips, to the chooser, and on to a photograph that goes.
    browser.run("document.activeElement.blur()")
    reached = []
    for _ in range(6):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.className"))
    assert reached[:3] == ["skip", "clear", "files"]
    assert reached[4] == "remove"
    browser.run("document.querySelector('.remove').focus()")
    browser.press("Enter")
    answered(browser, 1)
    assert browser.run("document.activeElement.ariaLabel") == "Remove blue.jpg"


def test_the_description_of_the_api_opens_offline(browser: Page, address: str) -> None:
    browser.open(f"{address}/docs")
    wait_for(browser, "document.querySelectorAll('.opblock').length >= 4")
    assert all(url.startswith(f"{address}/") for url in browser.requests())
    assert browser.complaints() == []
