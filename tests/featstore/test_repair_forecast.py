"""`featstore repair --dry-run`: it says what the repair then does, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from featstore.cli import main


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def flip(path: Path) -> None:
    """Flip one bit near the beginning of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 100] ^= 1
    path.write_bytes(data)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("damage", "rows"),
    [
        ("", {}),
        ("Leaf/mobilenet/c/0/0", {"mobilenet": 3}),
        # All that a record tells is asked anew, also whether number 4 can be read.
        ("records/Leaf/0.json", {"mobilenet": 4, "mobilenet_v2": 4}),
    ],
)
def test_a_dry_run_tells_what_repair_does_and_changes_nothing(
    finished: Path, capsys: pytest.CaptureFixture[str], damage: str, rows: dict[str, int]
) -> None:
    if damage:
        flip(finished / damage)
    files = contents(finished)
    assert command("repair", finished, "--workers", "0", "--dry-run", "--json") == 0
    ahead = json.loads(capsys.readouterr().out)
    assert command("repair", finished, "--workers", "0", "--dry-run") == 0
    told = capsys.readouterr().out
    assert ("Nothing to do" in told) == (not damage)
    assert ("About" in told) == bool(damage)
    assert "Nothing was written" in told
    assert contents(finished) == files
    command("repair", finished, "--workers", "0", "--json")
    done = json.loads(capsys.readouterr().out)
    n_failed = sum(rows.values()) - done["rows_made_anew"]
    assert n_failed == (2 if "records" in damage else 0)
    assert (ahead["schema"], ahead["rows"], ahead["photographs"]) == (
        "repair-forecast/1", rows, max(rows.values(), default=0)
    )  # fmt: skip
    assert ahead["before"] == done["before"]
    assert (ahead["seconds"] > 0) == bool(damage)


@pytest.mark.parametrize(("damage", "told"), [("zarr.json", "copy"), ("Leaf/mobilenet/zarr.json", "1 fault has to be")])
def test_a_dry_run_says_where_it_can_not_look(
    finished: Path, capsys: pytest.CaptureFixture[str], damage: str, told: str
) -> None:
    text = (finished / damage).read_text()
    (finished / damage).write_text(text.replace("{", "[", 1))
    files = contents(finished)
    assert command("repair", finished, "--dry-run") == 0
    assert told in capsys.readouterr().out
    assert contents(finished) == files


def test_a_dry_run_refuses_what_repair_would(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(finished / "catalog" / "g000001" / "image_id" / "c" / "0")
    errors = []
    for words in (["--dry-run"], []):
        assert command("repair", finished, *words) == 1
        errors.append(capsys.readouterr().err.splitlines()[-1])
    assert errors[0] == errors[1]
    assert "featstore build" in errors[0]
