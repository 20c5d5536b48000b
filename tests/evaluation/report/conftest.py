"""A small herbarium with two runs over it, and a browser without a window to look at their report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import Predictions
from evaluation.report.material import ReportSettings
from evaluation.report.writing import Written, report_runs
from evaluation.runs import RunCard, predictions_path, write_run_card
from featstore.catalog import make_catalog
from featstore.provenance import sha256_of_file
from featstore.roi import RECIPES
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.identity import Identity
from featstore.store.place import open_place
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import Grid, digest

NASTY = '<script>document.title="taken"</script> & "Quercus" </script>'
SPECIES = {"10": "Acer campestre", "7": NASTY, "8": "Bellis perennis", "9": "Daucus carota"}
CLASSES = tuple(sorted(SPECIES))
N_PLANTS = 24
BOX = (8, 10, 40, 50)
FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Scene:
    """Photographs, a store that knows them, and runs over their test plants."""

    photos: Path
    store: Path
    runs: tuple[Path, ...]
    features: np.ndarray
    papers: pd.DataFrame

    def report(self, target: Path, **options: Any) -> Written:
        store = options.pop("store", self.store)
        return report_runs(self.runs, ReportSettings(**options), str(store) if store else None, target)


def papers_of(photos: Path, write_photo: Callable[..., Path]) -> pd.DataFrame:
    """24 plants of four species, a flower and a leaf of each; every third plant is test."""
    rows = []
    for plant in range(N_PLANTS):
        for shot, view in enumerate(("Flower", "Leaf")):
            name = f"{plant}-{shot}.jpg"
            write_photo(photos / name, seed=2 * plant + shot, size=(64, 48))
            class_id = CLASSES[plant % 4]
            rows.append(
                {
                    "image_id": f"i{plant:02}{shot}",
                    "path": name,
                    "view": view,
                    "observation_id": f"o{plant:02}",
                    "author": f"author {plant % 5}",
                    "class_id": class_id,
                    "species": SPECIES[class_id],
                    "split": "test" if plant % 3 == 0 else "train",
                    "sha256": sha256_of_file(photos / name),
                }
            )
    return pd.DataFrame(rows)


def write_store(path: Path, photos: Path, papers: pd.DataFrame, features: np.ndarray) -> None:
    catalog = make_catalog(papers.drop(columns="sha256").to_dict("records"), photos, "tiny")
    store = Store.create(open_place(path), catalog, Grid())
    store.write_catalog(catalog)
    views = {str(view): rows for view, rows in papers.groupby("view")}
    identity = Identity("net", "imagenet", "", "ab" * 32, 32, "avg", "net", "keep", "float32", 16, "keras-x", {})
    numbers = dict.fromkeys(views, 0)
    accepted = dict.fromkeys(views, (0,))
    store.set_column("net", Column(RECIPES["none"], features.shape[1], numbers, accepted), [identity])
    for view, rows in views.items():
        store.row_keys.write(view, rows["image_id"].to_list())
        facts = [Fact(row.image_id, row.sha256, "done", "", 1, 1, {"keep": (BOX, "")}) for row in rows.itertuples()]
        store.rows.prepare(view, "net", features.shape[1])
        block = features[rows.index]
        store.rows.write_unit(view, "net", 0, block, np.zeros(len(rows), dtype=np.int32))
        known = FeatureRows([0] * len(rows), rows["sha256"].to_list(), digest(block))
        store.records.write(view, 0, Record(facts, {"net": known}))


def write_run(folder: Path, papers: pd.DataFrame, seed: int, variant: str = "") -> Path:
    """Predictions that know the species of most photographs, for valid (of train) and test."""
    rng = np.random.default_rng(seed)
    for split, own in (("valid", papers[papers["split"] == "train"]), ("test", papers[papers["split"] == "test"])):
        noise = rng.dirichlet(np.full(4, 0.7), len(own))
        right = np.array([[class_id == name for name in CLASSES] for class_id in own["class_id"]])
        probability = (0.2 * right + 0.8 * noise).astype(np.float32)
        Predictions.from_papers(
            own, model=folder.name, split=split, classes=CLASSES, probability=probability, images_per_second=50.0
        ).write(predictions_path(folder, split, variant))
    write_run_card(folder, RunCard(folder.name, "finetuned", ("net",), "mlp", SPECIES))
    (folder / "log.csv").write_text("epoch,loss,val_loss\n0,nan,0.9\n1,1.2,0.7\n2,0.8,0.75\n")
    return folder


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., Path]) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    papers = papers_of(folder / "photos", write_photo)
    features = np.random.default_rng(3).normal(size=(len(papers), 6)).astype(np.float32)
    write_store(folder / "features.zarr", folder / "photos", papers, features)
    first, second = write_run(folder / "net-a", papers, 1), write_run(folder / "net-b", papers, 2)
    write_run(second, papers, 3, "tta5")
    return Scene(folder / "photos", folder / "features.zarr", (first, second), features, papers)


@pytest.fixture(scope="session")
def page(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the scene."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    scene.report(path, n_worst=3)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if FOUND is None:
        pytest.skip("needs chromium")
    with open_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


class Page:
    """One open page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            received = os.read(self._receive, 1 << 20)
            if not received:
                raise RuntimeError("the browser has gone")
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path | str, width: int = 1280, height: int = 900, *, script: bool = True) -> None:
        self.resize(width, height)
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        # What the page before it still asks for, and complains of, is not this page's.
        self._load("about:blank")
        self._load(page if isinstance(page, str) else page.resolve().as_uri())

    def _load(self, url: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def run(self, expression: str) -> Any:
        """Give the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text, windowsVirtualKeyCode=code)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and refusals of the page's own policy."""
        self.run("0")
        found = []
        for event in self.events:
            method, content = event.get("method"), event.get("params", {})
            if method == "Log.entryAdded" and content["entry"]["level"] in {"error", "warning"}:
                found.append(content["entry"]["text"])
            if method == "Runtime.exceptionThrown" or (
                method == "Runtime.consoleAPICalled" and content["type"] in {"error", "warning"}
            ):
                found.append(json.dumps(content))
        return found

    def requests(self) -> list[str]:
        """Addresses asked for, but for what is embedded."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]


@contextmanager
def open_browser(profile: Path) -> Iterator[Page]:
    """Start a browser with a profile of its own, and end it."""
    assert FOUND
    to_read, send = os.pipe()
    receive, to_write = os.pipe()
    # The protocol's two ends are file descriptors 3 and 4 of the browser; a shell puts them there.
    command = (
        f'exec "$0" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run '
        f'--disable-background-networking --remote-debugging-pipe --user-data-dir="$1" 3<&{to_read} 4>&{to_write}'
    )
    process = subprocess.Popen(
        ["bash", "-c", command, FOUND, str(profile)],
        pass_fds=(to_read, to_write),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Page(send, receive)
    finally:
        os.close(send)
        process.terminate()
        process.wait(timeout=20)
        os.close(receive)
