"""The learning curve: a picture after any number of epochs, the best one found."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from finetune.curve import best_epoch, draw_curve

pytestmark = pytest.mark.usefixtures("painted")


def epochs(*losses: float) -> list[dict[str, float]]:
    return [
        {
            "loss": math.nan if number == 0 else loss + 0.3,
            "accuracy": math.nan if number == 0 else 0.5,
            "val_loss": loss,
            "val_accuracy": 0.7,
            "learning_rate": 1e-4,
        }
        for number, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "best"), [((2.0,), 0), ((2.0, 1.0, 1.0), 1), ((2.0, math.nan), 0), ((math.nan, 3.0, 2.0), 2)]
)
def test_the_best_epoch_is_the_first_of_the_lowest(losses: tuple[float, ...], best: int) -> None:
    assert best_epoch(epochs(*losses)) == best


@pytest.mark.parametrize("rates", [(1e-4, 5e-5, 0.0), (0.0,)])
def test_a_rate_of_zero_has_its_place_on_the_axis(tmp_path: Path, rates: tuple[float, ...]) -> None:
    log = [{**row, "learning_rate": rate} for row, rate in zip(epochs(*[1.0] * len(rates)), rates, strict=True)]
    drawn: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        save = Figure.savefig
        patch.setattr(
            Figure, "savefig", lambda self, *args, **options: (drawn.append(self), save(self, *args, **options))
        )
        draw_curve(log, tmp_path / "curve.png", "small-finetuned")
    axis = drawn[0].axes[2]
    labels = dict(zip([text.get_text() for text in axis.get_yticklabels()], axis.get_yticks(), strict=True))
    assert set(labels) == {f"{rate:.2g}" for rate in rates}
    assert labels["0"] == min(labels.values())
    assert axis.get_ylim()[0] < labels["0"]


@pytest.mark.parametrize("losses", [(2.0,), (2.0, 1.5, 1.2), (2.0, math.nan)])
def test_a_picture_is_drawn_and_replaced(tmp_path: Path, losses: tuple[float, ...]) -> None:
    path = tmp_path / "curve.png"
    path.write_bytes(b"old")
    draw_curve(epochs(*losses), path, "mobilenet-finetuned")
    with Image.open(path) as image:
        assert image.size == (880, 880)
        assert len(set(image.convert("L").tobytes())) > 10
    assert list(tmp_path.iterdir()) == [path]
