"""Fusion and scores at the size of PlantCLEF 2014's test: seconds and peak memory, beside plain NumPy, and growth.

    python tests/benchmarks/bench_evaluate.py [--json evaluate.json] [--picture evaluate.png] [--quick]

13,146 images of 8,163 plants by 1,600 users, 500 species, six models: drawn with a seed into a temporary folder (up to
4 GB, removed in the end). Every measurement runs in a process of its own; its peak is the process' highest resident
memory, NumPy and the package included. CPU seconds are of all threads; a machine that is busy besides leaves them
comparable.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.answers import N_ANSWERS
from evaluation.canvas import BLUE, RED, save
from evaluation.fused import fuse_places
from evaluation.fusion import RULES, Recipe
from evaluation.intervals import N_DRAWS, intervals
from evaluation.metrics import observation_score
from evaluation.predictions import SUFFIX, Predictions
from evaluation.rules import WEIGHTED
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_IMAGES, N_PLANTS, N_USERS, N_SPECIES, N_MODELS = 13_146, 8_163, 1_600, 500, 6
MODELS = (1, 2, 5, 10, 20)
CLASSES = (100, 500, 2_000, 10_000)
PROMISED = {"every rule, one pass": (10.0, 2048.0), "bootstrap": (5.0, 2048.0)}
Row = dict[str, Json]


def draw(folder: Path, n_models: int, n_species: int) -> None:
    """Write the models' files: every image of a plant by chance, every model a little right."""
    rng = np.random.default_rng([2014, n_species])
    plant = np.concatenate([np.arange(N_PLANTS), rng.integers(0, N_PLANTS, N_IMAGES - N_PLANTS)])
    rng.shuffle(plant)
    user, truth = rng.integers(0, N_USERS, N_PLANTS), rng.integers(0, n_species, N_PLANTS)
    views = np.array(["Branch", "Entire", "Flower", "Fruit", "Leaf", "LeafScan", "Stem"])
    classes = np.array([f"{number:05}" for number in range(n_species)])
    for model in range(n_models):
        probability = rng.standard_normal((N_IMAGES, n_species), dtype=np.float32)
        probability[np.arange(N_IMAGES), truth[plant]] += 2.5
        np.exp(2 * probability, out=probability)
        probability /= probability.sum(axis=1, keepdims=True)
        Predictions(
            model=f"model {model}",
            split="test",
            image_id=np.array([f"{number}.jpg" for number in range(N_IMAGES)]),
            observation_id=np.array([f"{number}" for number in plant]),
            author=np.array([f"user {number}" for number in user[plant]]),
            view=views[plant % len(views)],
            true_class=classes[truth[plant]],
            classes=classes,
            probability=probability,
            images_per_second=20.0,
        ).write(folder / f"model-{model:02}" / f"test{SUFFIX}")


def files(folder: Path, n_models: int) -> list[Path]:
    return sorted(folder.glob(f"*/test{SUFFIX}"))[:n_models]


@contextmanager
def timed(row: Row, name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    row[f"{name}_s"], row[f"{name}_cpu_s"] = time.perf_counter() - wall, time.process_time() - cpu


def recipe_of(rule: str, n_models: int) -> Recipe:
    return Recipe(rule, weights=weights_of(n_models) if rule == WEIGHTED else ())


def weights_of(n_models: int) -> tuple[float, ...]:
    return tuple(np.linspace(1, 2, n_models).tolist())


def ours(folder: Path, n_models: int, rules: Sequence[str]) -> Row:
    """Open, prove and align the files, fuse plants and images by these rules in one pass, rank."""
    row: Row = {}
    with timed(row, "all"):
        with timed(row, "open"):
            first, *others = files(folder, n_models)
            members = [Predictions.open(first)]
            members += [Predictions.open(path).sharing(members[0]) for path in others]
        with timed(row, "align"):
            aligned = align(members)
        with timed(row, "fuse"):
            found = fuse_places(aligned, [recipe_of(rule, n_models) for rule in rules], N_ANSWERS)
    row["top_1"] = float(np.mean(found[0].places.rank <= 1))
    return row


def plain(folder: Path, n_models: int, rules: Sequence[str]) -> Row:
    """What a user would write for the mean of plants: everything in memory, no proof, no images, the first place."""
    del rules
    row: Row = {}
    with timed(row, "all"):
        with timed(row, "open"):
            matrices = []
            for path in files(folder, n_models):
                with h5py.File(path) as file:
                    matrices.append(file["probability"][...])
                    plant = np.unique(file["observation_id"].asstr()[...].astype(str), return_inverse=True)[1]
                    truth = file["true_class"].asstr()[...].astype(int)
        with timed(row, "fuse"):
            fused = np.zeros((plant.max() + 1, matrices[0].shape[1]))
            np.add.at(fused, plant, np.mean(np.stack(matrices), axis=0))
            fused /= np.bincount(plant)[:, np.newaxis]
            best = np.argsort(-fused, axis=1)
    row["top_1"] = float(np.mean(best[plant, 0][np.unique(plant, return_index=True)[1]] == _first(truth, plant)))
    return row


def _first(values: NDArray[np.int64], plant: NDArray[np.intp]) -> NDArray[np.int64]:
    return values[np.unique(plant, return_index=True)[1]]


def reading(folder: Path, n_models: int, rules: Sequence[str]) -> Row:
    """One file proved and left where it is, proved and loaded, and its bare bytes; the best of three."""
    del n_models, rules
    (path,) = files(folder, 1)
    with h5py.File(path) as file:
        offset, size = file["probability"].id.get_offset(), file["probability"].size
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: Predictions.open(path),
        "read": lambda: Predictions.read(path),
        "fromfile": lambda: np.fromfile(path, np.float32, size, offset=offset),
    }
    row: Row = {}
    for name, call in calls.items():
        tries: list[Row] = []
        for _ in range(3):
            tries.append({})
            with timed(tries[-1], name):
                call()
        row |= min(tries, key=lambda one: float(str(one[f"{name}_s"])))
    return row


def bootstrap(folder: Path, n_models: int, rules: Sequence[str]) -> Row:
    """S and its interval by `N_DRAWS` draws of users, and the same by a loop."""
    del folder, n_models, rules
    rng = np.random.default_rng(7)
    user, reciprocal = rng.integers(0, N_USERS, N_PLANTS), 1 / rng.integers(1, 30, N_PLANTS)
    row: Row = {}
    with timed(row, "all"):
        intervals([observation_score(reciprocal, np.char.add("user ", user.astype(str)))])
    with timed(row, "plain"):
        means = np.array([reciprocal[user == number].mean() for number in np.unique(user)])
        drawn = [means[rng.integers(0, len(means), len(means))].mean() for _ in range(N_DRAWS)]
        np.quantile(drawn, [0.025, 0.975])
    return row


def command(folder: Path, n_models: int, rules: Sequence[str]) -> Row:
    """`evaluate fuse` by these rules, from start to written folders."""
    row: Row = {}
    words = [word for rule in rules for word in ("--rule", rule)]
    if WEIGHTED in rules:
        words += [word for weight in weights_of(n_models) for word in ("--weight", str(weight))]
    runs = [str(path) for path in files(folder, n_models)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [sys.executable, "-m", "evaluation.cli", "fuse", *runs, *words, "--out", out, "--json"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    row["all_s"] = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row["all_cpu_s"], row["peak_mib"] = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return row


WORK: Mapping[str, Callable[[Path, int, Sequence[str]], Row]] = {
    work.__name__: work for work in (ours, plain, reading, bootstrap, command)
}


def in_a_process(work: str, folder: Path, n_models: int = N_MODELS, rules: Sequence[str] = tuple(RULES)) -> Row:
    words = ["--alone", work, "--folder", str(folder), "--models", str(n_models), "--rules", *rules]
    found = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
    row: Row = {"models": n_models, **json.loads(found.stdout.splitlines()[-1])}
    say(f"{work} {', '.join(rules)}: {json.dumps(row)}")
    return row


def peak_mib() -> float:
    """Highest resident memory of this program; `getrusage` would count the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def alone(work: str, folder: Path, n_models: int, rules: Sequence[str]) -> None:
    before = peak_mib()
    row = WORK[work](folder, n_models, rules)
    peak = peak_mib()
    sys.stdout.write(json.dumps({"before_mib": before, "peak_mib": peak, **row}) + "\n")


def measured(folder: Path) -> dict[str, Row]:
    rows = {f"rule {rule}": in_a_process("ours", folder, rules=[rule]) for rule in RULES}
    rows["every rule, one pass"] = in_a_process("ours", folder)
    rows["plain NumPy, mean of plants only"] = in_a_process("plain", folder)
    rows["evaluate fuse, every rule"] = in_a_process("command", folder)
    rows["bootstrap"] = in_a_process("bootstrap", folder)
    rows["reading"] = in_a_process("reading", folder)
    return rows


def grown(folder: Path, models: Sequence[int], classes: Sequence[int]) -> dict[str, list[Row]]:
    """Every rule in one pass: by models at `N_SPECIES` classes, by classes with `N_MODELS` models."""
    by_models = [in_a_process("ours", folder, n_models) for n_models in models]
    by_classes = []
    for n_classes in classes:
        with tempfile.TemporaryDirectory() as own:
            draw(Path(own), N_MODELS, n_classes)
            by_classes.append({**in_a_process("ours", Path(own)), "classes": n_classes})
    return {"models": by_models, "classes": by_classes}


def picture(growth: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Seconds above, peak memory below, sizes on a logarithmic scale; memory starts at 0, so that flat looks flat."""

    def panels(figure: Figure) -> None:
        grid = figure.subplots(2, 2, sharex="col")
        titles = {"models": f"models, {N_SPECIES} classes", "classes": f"classes, {N_MODELS} models"}
        for column, (varied, rows) in enumerate(growth.items()):
            for line, (key, label) in enumerate((("all_s", "seconds"), ("peak_mib", "peak memory, MiB"))):
                axes, sizes = grid[line, column], [int(str(row[varied])) for row in rows]
                values = [float(str(row[key])) for row in rows]
                axes.plot(sizes, values, "o-", color=BLUE, label="on the clock")
                top = max(values)
                if line == 0:
                    cpu = [float(str(row["all_cpu_s"])) for row in rows]
                    axes.plot(sizes, cpu, "s--", color=RED, label="CPU")
                    top = max(top, *cpu)
                    axes.legend(frameon=False, loc="upper left")
                for size, value in zip(sizes, values, strict=True):
                    told, above = (f"{value:,.0f}", 6) if line else (f"{value:,.1f}", -13)
                    axes.annotate(told, (size, value), (0, above), textcoords="offset points", ha="center", fontsize=9)
                axes.set(xscale="log", ylim=(0, top * 1.3), xlim=(min(sizes) / 1.3, max(sizes) * 1.3))
                axes.set_xticks(sizes)
                axes.minorticks_off()
                axes.xaxis.set_major_formatter("{x:,.0f}")
                axes.spines[["top", "right"]].set_visible(False)
                if column == 0:
                    axes.set_ylabel(label)
            grid[1, column].set_xlabel(titles[varied])
        grid[0, 0].set_title(f"{len(RULES)} rules in one pass, {N_IMAGES:,} images", loc="left", fontsize=10)

    save(path, (9.5, 5.5), panels)


def tell(rows: Mapping[str, Row], growth: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """Tables on screen; gives the ratios to plain NumPy of the same run."""

    def cells(row: Row, *keys: str) -> list[str]:
        return [f"{float(str(row[key])):.2f}" if key in row else "-" for key in keys]

    keys = ("all_s", "all_cpu_s", "open_s", "align_s", "fuse_s", "peak_mib")
    lines = [
        [name, *cells(row, *keys), f"{PROMISED[name][0]:g} s, {PROMISED[name][1]:,.0f} MiB" if name in PROMISED else ""]
        for name, row in rows.items()
        if name != "reading"
    ]
    title = f"{N_MODELS} models x {N_IMAGES:,} images x {N_SPECIES} classes, plants and images, ranked"
    print_table(title, ["", "s", "CPU s", "open s", "align s", "fuse s", "peak MiB", "promised"], lines)
    for varied, grew in growth.items():
        columns = [varied, "s", "CPU s", "peak MiB"]
        print_table(f"Growth with {varied}, every rule in one pass", columns,
                    [[f"{row[varied]:,}", *cells(row, "all_s", "all_cpu_s", "peak_mib")] for row in grew])  # fmt: skip
    mean, simple, read = rows["rule mean"], rows["plain NumPy, mean of plants only"], rows["reading"]
    number = {key: float(str(value)) for key, value in read.items()}
    ratios = {
        "rule mean over plain NumPy, CPU s": float(str(mean["all_cpu_s"])) / float(str(simple["all_cpu_s"])),
        "rule mean over plain NumPy, peak": float(str(mean["peak_mib"])) / float(str(simple["peak_mib"])),
        "open over np.fromfile, s": number["open_s"] / number["fromfile_s"],
        "bootstrap over a loop, CPU s": float(str(rows["bootstrap"]["all_cpu_s"]))
        / float(str(rows["bootstrap"]["plain_cpu_s"])),
    }
    print_table("Ratios within this run", ["", "ratio"], [[name, f"{value:.2f}"] for name, value in ratios.items()])
    return ratios


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--quick", action="store_true", help="no more than 6 models and 500 classes")
    parser.add_argument("--alone", choices=list(WORK), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--models", type=int, default=N_MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--rules", nargs="+", default=list(RULES), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.alone:
        alone(options.alone, options.folder, options.models, options.rules)
        return
    models = [n for n in MODELS if n <= N_MODELS or not options.quick]
    classes = [n for n in CLASSES if n <= N_SPECIES or not options.quick]
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), max(*models, N_MODELS), N_SPECIES)
        rows = measured(Path(folder))
        growth = grown(Path(folder), models, classes)
    ratios = tell(rows, growth)
    if options.picture:
        picture(growth, options.picture)
    if options.json:
        document = {"rows": rows, "growth": growth, "ratios": ratios, "provenance": provenance()}
        write_text(options.json, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
