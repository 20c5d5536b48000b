"""The runner: nothing done is done twice, what fails takes only its own with it, and a kill leaves no orphan."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from finetune.study import runner
from finetune.study.journal import FILE
from finetune.study.runner import call, run_steps
from finetune.study.step import Step
from finetune.study.work import exit_code


class Program:
    """Stands in for the processes: writes what a step is to make, and exits as it is told."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.codes: dict[str, int] = {}
        self.idle: set[str] = set()

    def __call__(self, arguments: Sequence[str], log: Path) -> tuple[int, str]:
        self.calls.append(list(arguments))
        name = arguments[0]
        if name not in self.idle:
            Path(arguments[1]).write_text("made", encoding="utf-8")
        return self.codes.get(name, 0), "what it said last"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    found = Program()
    monkeypatch.setattr(runner, "call", found)
    return found


@pytest.fixture
def steps(tmp_path: Path) -> list[Step]:
    """A chain of two, and one of its own."""
    chain = {"features": (), "heads": ("features",), "other": ()}
    return [
        Step(name, (name, str(tmp_path / name)), needs, (tmp_path / name,), ("--replace",))
        for name, needs in chain.items()
    ]


def names(program: Program) -> list[str]:
    return [arguments[0] for arguments in program.calls]


def test_what_is_done_is_not_done_twice(steps: list[Step], program: Program, tmp_path: Path) -> None:
    assert [outcome.state for outcome in run_steps(steps, tmp_path)] == ["done"] * 3
    again = run_steps(steps, tmp_path)
    assert [outcome.state for outcome in again] == ["was done"] * 3
    assert names(program) == ["features", "heads", "other"]
    assert exit_code(again) == 0


def test_a_result_that_is_gone_is_made_again(steps: list[Step], program: Program, tmp_path: Path) -> None:
    run_steps(steps, tmp_path)
    (tmp_path / "heads").unlink()
    run_steps(steps, tmp_path)
    assert names(program)[3:] == ["heads"]


def test_changed_settings_run_what_rests_on_them_with_leave_to_replace(
    steps: list[Step], program: Program, tmp_path: Path
) -> None:
    run_steps(steps, tmp_path)
    steps[0] = replace(steps[0], made_from="other photographs")
    run_steps(steps, tmp_path)
    assert [(words[0], words[-1]) for words in program.calls[3:]] == [("features", "--replace"), ("heads", "--replace")]


def test_leave_to_replace_is_given_again_only_where_a_call_without_it_has_failed(
    steps: list[Step], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(arguments: Sequence[str], log: Path) -> tuple[int, str]:
        program(arguments, log)
        raise KeyboardInterrupt

    def leaves() -> list[bool]:
        return ["--replace" in words for words in program.calls]

    other = steps[2:]
    run_steps(other, tmp_path)
    other = [replace(other[0], made_from="other photographs")]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "call", killed)
        with pytest.raises(KeyboardInterrupt):
            run_steps(other, tmp_path)
    # It may have been killed before it replaced anything: then it is refused, and the call after that may replace.
    program.codes["other"] = 1
    run_steps(other, tmp_path)
    program.codes.clear()
    run_steps(other, tmp_path)
    assert leaves() == [False, True, False, True]
    (tmp_path / "other").unlink()
    run_steps(other, tmp_path)
    assert leaves()[4:] == [False]


def test_a_failure_takes_only_what_needs_it(steps: list[Step], program: Program, tmp_path: Path) -> None:
    program.codes["features"] = 9
    features, heads, other = run_steps(steps, tmp_path)
    assert (features.state, heads.state, other.state) == ("failed", "not run", "done")
    assert "features" in heads.reason
    message = str(features.error())
    assert all(part in message for part in ("step features", steps[0].line, "01-features.log", "what it said last"))
    assert exit_code([features, heads, other]) == 9
    program.codes.clear()
    assert [outcome.state for outcome in run_steps(steps, tmp_path)] == ["done", "done", "was done"]


def test_losses_are_told_and_looked_at_again(steps: list[Step], program: Program, tmp_path: Path) -> None:
    program.codes["features"] = 3
    outcomes = run_steps(steps, tmp_path)
    assert [outcome.state for outcome in outcomes] == ["incomplete", "done", "done"]
    assert exit_code(outcomes) == 3
    run_steps(steps, tmp_path)
    assert names(program)[3:] == ["features"]
    assert "--replace" not in program.calls[-1]


def test_a_step_that_says_done_and_made_nothing_has_failed(steps: list[Step], program: Program, tmp_path: Path) -> None:
    program.idle.add("other")
    outcome = run_steps(steps, tmp_path)[-1]
    assert outcome.state == "failed"
    assert str(tmp_path / "other") in outcome.reason


def test_an_interrupted_step_goes_on_without_leave_to_replace(
    steps: list[Step], program: Program, tmp_path: Path
) -> None:
    program.codes["heads"] = 130
    with pytest.raises(KeyboardInterrupt):
        run_steps(steps, tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["steps"]["heads"]["code"] is None
    program.codes.clear()
    run_steps(steps, tmp_path)
    assert names(program) == ["features", "heads", "heads", "other"]
    assert "--replace" not in program.calls[2]


def test_a_damaged_journal_costs_calls_and_nothing_else(
    steps: list[Step], program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_steps(steps, tmp_path)
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    assert [outcome.state for outcome in run_steps(steps, tmp_path)] == ["done"] * 3
    assert "journal.json cannot be read" in capsys.readouterr().err


def test_a_real_process_is_shown_logged_and_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "01.log"
    code, last = call(["evaluate", "fuse", str(tmp_path / "nowhere"), "--out", str(tmp_path)], log)
    assert code == 1
    assert last.startswith("Expected a run folder")
    assert "error: Expected a run folder" in capsys.readouterr().err
    said = log.read_text(encoding="utf-8")
    assert said.startswith("$ evaluate fuse ")
    assert "error: Expected a run folder" in said


@pytest.mark.skipif(sys.platform == "win32", reason="a process there has no signals to be killed by")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGINT"])
def test_a_killed_or_interrupted_study_leaves_no_orphan(sent: str, tmp_path: Path) -> None:
    words = ["featstore", "synth", str(tmp_path / "photos"), "--observations", "500", "--side", "2048"]
    log = str(tmp_path / "log")
    script = f"from pathlib import Path; from finetune.study.runner import call; call({words!r}, Path({log!r}))"
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        child = wait_for_child(parent.pid)
        while not (tmp_path / "photos").exists():
            time.sleep(0.1)
    finally:
        parent.send_signal(signal.Signals[sent])
        parent.wait()
    assert parent.returncode == -signal.Signals[sent]
    wait_for_end(child)
    assert ("got an interrupt" in (tmp_path / "log").read_text(encoding="utf-8")) == (sent == "SIGINT")


def wait_for_child(pid: int) -> psutil.Process:
    for _ in range(600):
        children = psutil.Process(pid).children()
        if children:
            return children[0]
        time.sleep(0.1)
    raise AssertionError("it has started no process")


def wait_for_end(process: psutil.Process) -> None:
    """Seconds would do; a loaded machine gets a minute. One that nobody collects has ended, too."""
    for _ in range(600):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.1)
    raise AssertionError("it goes on alone")
