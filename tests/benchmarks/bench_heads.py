"""Heads at the size of PlantCLEF 2014, on features whose best possible score is known.

    python tests/benchmarks/bench_heads.py [--json heads.json] [--heads logistic knn] [--images 47815] [--plain]

47,815 photographs of 500 species, 2,048 features, species as unequal as there (a few dozen to several hundred
photographs). Features are what average pooling behind a ReLU looks like: a species is a point in a space of 64
directions, photographs of it scatter around it alike, the directions are spread over all columns, and noise is added.
The best possible answer knows all of that; every head is compared with it. Each head runs in a process of its own, one
after the other, and with `--plain` so does the plain library call behind it, with its default settings.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table, say
from heads.effort import Size, estimate
from heads.examples import Examples
from heads.registry import HEADS, create_head

N_SPECIES, N_DIRECTIONS, SPREAD, NOISE = 500, 64, 0.5, 0.6
N_TEST = 8163


@dataclass(frozen=True)
class Draw:
    """Photographs to learn from, to validate and to test, and how often the best possible answer is right on test."""

    train: tuple[NDArray[np.float32], NDArray[np.str_]]
    valid: tuple[NDArray[np.float32], NDArray[np.str_]]
    test: tuple[NDArray[np.float32], NDArray[np.str_]]
    best: float


def draw(n_images: int, n_features: int, n_species: int = N_SPECIES, seed: int = 0) -> Draw:
    """Draw train and valid (3:1, together `n_images`) and test."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 0.9, n_species)
    share /= share.sum()
    centres = rng.normal(0, SPREAD, (n_species, N_DIRECTIONS))
    mix = rng.normal(0, 1, (N_DIRECTIONS, n_features)) / np.sqrt(N_DIRECTIONS)
    scale = rng.lognormal(-1, 0.7, n_features)

    def photographs(n_rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
        number = np.concatenate([np.arange(n_species), rng.choice(n_species, n_rows - n_species, p=share)])
        rng.shuffle(number)
        latent = centres[number] + rng.normal(0, 1, (n_rows, N_DIRECTIONS))
        features = np.empty((n_rows, n_features), dtype=np.float32)
        for rows in np.array_split(np.arange(n_rows), max(1, n_rows // 4096)):
            clean = latent[rows] @ mix + NOISE * rng.normal(0, 1, (len(rows), n_features))
            # A smooth ReLU keeps what is known invertible: the best answer loses nothing by it.
            features[rows] = np.log1p(np.exp(2 * clean)) / 2 * scale
        return features, number, latent

    learn, number, _ = photographs(n_images)
    test, truth, latent = photographs(N_TEST)
    # The noise on thousands of columns tells next to nothing about the latent point: it is as good as seen.
    answer = latent @ centres.T - 0.5 * (centres**2).sum(axis=1) + np.log(share)
    names = np.array([f"{species:03}" for species in range(n_species)])
    n_train = n_images * 3 // 4
    return Draw(
        (learn[:n_train], names[number[:n_train]]),
        (learn[n_train:], names[number[n_train:]]),
        (test, names[truth]),
        float(np.mean(answer.argmax(axis=1) == truth)),
    )


def size_of(drawn: Draw) -> Size:
    features, labels = drawn.train
    return Size(*features.shape, len(np.unique(labels)), len(drawn.valid[1]))


def one_head(name: str, drawn: Draw) -> dict[str, Json]:
    head = create_head(name)
    started = time.perf_counter()
    head.fit(*drawn.train, valid=Examples(*drawn.valid), tell=lambda text: say(f"{name}: {text}"))
    fitted = time.perf_counter()
    probability = head.predict_proba(drawn.test[0])
    return {
        "fit_s": fitted - started,
        "estimated_s": estimate(head, size_of(drawn)).seconds,
        "steps": max(1, len(head.log_)),
        "predict_s": time.perf_counter() - fitted,
        "top_1": float(np.mean(head.classes_[probability.argmax(axis=1)] == drawn.test[1])),
        "chosen": dict(head.chosen_),
        "remarks": list(head.remarks_),
    }


def plain(name: str, drawn: Draw) -> dict[str, Json]:
    """The library's own estimator, as a user would call it: with its defaults, on the features as they are."""
    model, steps = _plain(name)
    started = time.perf_counter()
    model.fit(*drawn.train)  # type: ignore[attr-defined]  # scikit-learn publishes no types
    fitted = time.perf_counter()
    found = model.predict(drawn.test[0])  # type: ignore[attr-defined]  # as above
    return {
        "fit_s": fitted - started,
        "steps": steps,
        "predict_s": time.perf_counter() - fitted,
        "top_1": float(np.mean(found == drawn.test[1])),
    }


def _plain(name: str) -> tuple[object, int]:
    """An estimator, and how many epochs or rounds it learns in: so many seconds per step are compared."""
    from lightgbm import LGBMClassifier
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    made: dict[str, tuple[Callable[[], object], int]] = {
        "mlp": (PlainKeras, PLAIN_EPOCHS),
        "logistic": (LogisticRegression, 1),
        "lda": (LinearDiscriminantAnalysis, 1),
        "ridge": (RidgeClassifier, 1),
        "knn": (lambda: KNeighborsClassifier(10, metric="cosine"), 1),
        "prototype": (NearestCentroid, 1),
        "lightgbm": (lambda: LGBMClassifier(verbosity=-1, n_estimators=PLAIN_ROUNDS), PLAIN_ROUNDS),
    }
    create, steps = made[name]
    return create(), steps


class PlainKeras:
    """The article's network as a Keras user would write it: `Sequential`, `fit`, 256 photographs a step."""

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        import keras
        from keras import layers

        self.classes, number = np.unique(labels, return_inverse=True)
        hidden = [
            layer
            for _ in range(3)
            for layer in (
                layers.Dense(512, activation="selu", kernel_initializer="lecun_normal"),
                layers.Dropout(0.5),
            )
        ]
        scale = layers.Normalization()
        scale.adapt(features)
        self.network = keras.Sequential([scale, *hidden, layers.Dense(len(self.classes), activation="softmax")])
        self.network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        self.network.fit(features, number, batch_size=256, epochs=PLAIN_EPOCHS, verbose=0)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.str_]:
        return np.asarray(self.classes[self.network.predict(features, batch_size=1024, verbose=0).argmax(axis=1)])


PLAIN_EPOCHS, PLAIN_ROUNDS = 5, 3
PLAIN = ("mlp", "logistic", "lda", "ridge", "knn", "prototype", "lightgbm")


def in_a_process(words: Sequence[str]) -> dict[str, Json]:
    found = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        return {"error": f"exit code {found.returncode}"}
    return dict(json.loads(found.stdout.splitlines()[-1]))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=[n for n in HEADS if n != "svm"])
    parser.add_argument("--images", type=int, default=47_815)
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--species", type=int, default=N_SPECIES)
    parser.add_argument("--plain", action="store_true", help="also time the plain library calls")
    parser.add_argument("--alone", choices=["head", "plain"], help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    size = ["--images", str(options.images), "--features", str(options.features), "--species", str(options.species)]
    if options.alone:
        drawn = draw(options.images, options.features, options.species)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = (one_head if options.alone == "head" else plain)(options.heads[0], drawn)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(json.dumps({**row, "best": drawn.best, "before_mib": before, "peak_mib": peak}) + "\n")
        return
    rows: list[dict[str, Json]] = []
    for name in options.heads:
        for kind in ("head", *(["plain"] if options.plain and name in PLAIN else [])):
            say(f"{kind} {name}")
            rows.append({"kind": kind, "name": name, **in_a_process(["--alone", kind, "--heads", name, *size])})
            say(json.dumps(rows[-1]))
    ratios = _ratios(rows)
    print_table(
        f"{options.images} photographs, {options.features} features, {options.species} species",
        ["", "head", "fit s", "estimated s", "steps", "predict s", "Top-1", "best possible", "peak MiB", "of plain"],
        [[str(row["kind"]), str(row["name"]), *(
            f"{row[key]:.{digits}f}" if isinstance(row.get(key), int | float) else str(row.get("error", "-"))
            for key, digits in (("fit_s", 1), ("estimated_s", 1), ("steps", 0), ("predict_s", 1), ("top_1", 3),
                                ("best", 3), ("peak_mib", 0))
        ), f"{ratios[str(row['name'])]:.2f}" if row["kind"] == "head" and row["name"] in ratios else "-"]
         for row in rows],
    )  # fmt: skip
    say("of plain: seconds per step of the head over seconds per step of the plain library call, both in this run")
    if options.json:
        document = {"rows": list(rows), "ratios": ratios, "provenance": provenance()}
        write_text(options.json, json.dumps(document, indent=2) + "\n")


def _ratios(rows: Sequence[dict[str, Json]]) -> dict[str, float]:
    per_step = {
        (row["kind"], row["name"]): float(str(row["fit_s"])) / float(str(row["steps"]))
        for row in rows
        if "fit_s" in row
    }
    return {
        str(name): seconds / per_step["plain", name]
        for (kind, name), seconds in per_step.items()
        if kind == "head" and ("plain", name) in per_step
    }


if __name__ == "__main__":
    main()
