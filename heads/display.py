"""Tables on screen: a comparison, a run, and what a run answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.comparison import less_best_note
from evaluation.runs import SPLIT_FILE, RunCard
from evaluation.scores import Score
from featstore import shell
from featstore.errors import counted
from heads.asking import Asked
from heads.entry import COLUMNS, SECONDARY
from heads.forecast import GIB, Forecast
from heads.leaderboard import FILES, Leaderboard


def show_board(board: Leaderboard, out: Path, *, refit: bool) -> None:
    """The table of each split, and what was chosen."""
    fitted_on = "train and valid" if refit else "train"
    titles = {
        "train": "Out of fold, {}: each photograph of train and valid predicted by a head that has not seen its plant",
        "valid": "Valid, {}: heads fitted on train; every choice is made on these figures",
        "test": f"Test, {{}}: heads fitted on {fitted_on}; reported, never chosen by",
    }
    judged = {split: n for entry in board.entries for split, n in entry.n_observations.items()}
    for split, title in titles.items():
        if split in judged:
            rows = [entry.cells(split, board.overall) for entry in board.entries]
            told = title.format(counted(judged[split], "observation"))
            shell.print_table(told, COLUMNS, rows, secondary=SECONDARY)
    if judged and "test" not in judged:
        shell.say(
            "No test part: the data set marks no photographs of known class as test, and the best one's figure is what "
            "chose it. Mark some (column `split`), or let --folds 5 judge every plant by heads that have not seen it."
        )
    if board.overall is not None and len(board.entries) > 1:
        shell.say(less_best_note(board.overall.trial.name))
    _show_more(board)
    n_reused = sum(entry.reused for entry in board.entries)
    if n_reused:
        shell.say(f"{n_reused} of {len(board.entries)} runs were there already and have not changed.")
    chosen = "out of fold" if board.deciding == "train" else "on valid"
    for use, entry in ((f"Best {chosen}", board.overall), ("Start for finetune run", board.finetune)):
        if entry is not None:
            shell.say(f"{use}: {entry.trial.name}, S {entry.value(board.deciding):.4f}")
    if board.overall is not None and board.n_tied > 1:
        shell.say(
            f"{board.n_tied} runs tie for the best {chosen}; {board.overall.trial.name} is the simplest of them: "
            "fewest networks, then fewest features, then by name."
        )
    there = [name for name in (SPLIT_FILE, *FILES) if (out / name).is_file()]
    runs = [] if board.overall is None else ["a folder per run"]
    shell.say(f"{out}: {', '.join([*runs, *there])}")


def show_forecast(ahead: Forecast) -> None:
    """What is to be done, run by run."""
    rows = [
        [name, str(n_units), shell.in_words(effort.seconds), f"{effort.n_bytes / GIB:.2f}"]
        for name, n_units, effort in ahead.rows()
    ]
    if not rows:
        shell.say("Nothing to do: every run is there already and has not changed.")
        return
    shell.print_table("To be done", ["run", "fits", "about", "GiB beside the features"], rows)
    told = f"About {shell.in_words(ahead.seconds)} in all, on this machine when nothing else runs"
    shell.say(f"{told}. Nothing was fitted.")


def _show_more(board: Leaderboard) -> None:
    """What is only there if it was asked for: calibration, luck of the seed, unknown species."""
    rows = []
    for entry in board.entries:
        told, split = entry.calibrated, "test" if entry.value("test") is not None else "valid"
        if told is not None and told.applied:
            common = told.calibration.temperatures[""]
            before, after = (told.error(split, when) for when in ("before", "after"))
            if before is not None and after is not None:
                rows.append([entry.trial.name, f"{common:.3g}", f"{before:.4f}", f"{after:.4f}"])
    if rows:
        shell.print_table(
            "Calibration: mean distance of confidence and accuracy per image",
            ["run", "temperature", "before", "after"],
            rows,
        )
    lucky = [
        [entry.trial.name, split, f"{mean:.4f}", f"{deviation:.4f}", str(n)]
        for entry in board.entries
        for split, (mean, deviation, n) in entry.spread.items()
    ]
    if lucky:
        shell.print_table("S over seeds", ["run", "split", "mean", "standard deviation", "seeds"], lucky)
    rejecting = [
        [
            entry.trial.name,
            *(f"{entry.unknown_auroc[s]:.4f}" if s in entry.unknown_auroc else "-" for s in ("valid", "test")),
        ]
        for entry in board.entries
        if entry.unknown_auroc and board.facts.get("n_held_out")
    ]
    if rejecting:
        shell.print_table("Unknown species told by the highest probability: AUROC", ["run", "valid", "test"], rejecting)


def show_run(card: RunCard, scores: Sequence[Score]) -> None:
    """What a run is and how it was made, and its figures."""
    facts = [["networks", ", ".join(card.backbones)], ["head", card.head], ["classes", str(len(card.classes))]]
    facts += [[name, value_in_words(value)] for name, value in card.details.items() if name != "fingerprint"]
    shell.print_table(card.model, ["what", "value"], [fact for fact in facts if fact[1]])
    rows = [
        [score.split, score.view, score.metric, f"{score.value:.4f}",
         "-" if score.low != score.low else f"{score.low:.3f}-{score.high:.3f}", f"{score.n_observations:,}"]  # NaN
        for score in scores
    ]  # fmt: skip
    shell.print_table("Scores", ["split", "view", "metric", "value", "95 %", "observations"], rows)


def show_answers(asked: Asked) -> None:
    """The likeliest species of the first plants."""
    fused, species = asked.fused, asked.card.classes
    rows = []
    for row in range(min(20, len(fused.observation_id))):
        best = zip(fused.places.best[row, :3], fused.places.probability[row, :3], strict=True)
        cells = [f"{species.get(str(fused.classes[c])) or fused.classes[c]} {sure:.2f}" for c, sure in best]
        rows.append([str(fused.observation_id[row]), str(fused.n_images[row]), *cells, *["-"] * (3 - len(cells))])
    told = counted(len(asked.predictions.image_id), "photograph")
    title = f"{asked.card.model}: {told} of {counted(len(fused.observation_id), 'plant')}"
    shell.print_table(title, ["observation", "images", "first", "second", "third"], rows)
    if len(fused.observation_id) > len(rows):
        shell.say(f"... and {len(fused.observation_id) - len(rows)} more in {asked.files[1]}")
    known = [score for score in asked.scores if score.view == "all" and score.metric in {"S", "top_1"}]
    for score in known:
        shell.say(f"{score.metric} {score.value:.4f} over {counted(score.n_observations, 'plant')} of known class")
    shell.say(f"written: {asked.files[0]}, {asked.files[1]}")


def value_in_words(value: object) -> str:
    """Write a value of a run card so that it can be read in a cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {value_in_words(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return "; ".join(value_in_words(entry) for entry in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
