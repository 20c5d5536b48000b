"""Steps: their digests tell whether anything they rest on has changed; paths are as they are now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from finetune.study.step import Step, digests

FIRST = Step("first", ("featstore", "build", "photos"))
SECOND = Step("second", ("heads", "compare", "store"), ("first",))
OTHER = Step("other", ("featstore", "synth", "there"))


def changed(before: list[Step], after: list[Step]) -> set[str]:
    old, new = digests(before), digests(after)
    return {name for name in old if old[name] != new[name]}


def test_a_digest_changes_with_the_command_and_with_whatever_the_step_needs() -> None:
    steps = [FIRST, SECOND, OTHER]
    assert changed(steps, steps) == set()
    assert changed(steps, [replace(FIRST, made_from="photograph 7 is another"), SECOND, OTHER]) == {"first", "second"}
    assert changed(steps, [replace(FIRST, command=(*FIRST.command, "--side", "9")), SECOND, OTHER]) == {
        "first",
        "second",
    }
    assert changed(steps, [FIRST, replace(SECOND, command=("heads", "list")), OTHER]) == {"second"}


def test_a_run_that_a_step_can_do_without_is_left_out_where_it_is_not_there(tmp_path: Path) -> None:
    runs = tuple(str(tmp_path / name) for name in ("a", "b"))
    (tmp_path / "b").mkdir()
    assert Step("fuse", ("evaluate", "fuse", *runs), where_there=runs).arguments() == ["evaluate", "fuse", runs[1]]


def test_a_command_line_can_be_pasted_into_a_shell() -> None:
    step = Step("x", ("featstore", "build", "my photos*", "--as", "{backbone}-max"))
    assert step.line == "featstore build 'my photos*' --as '{backbone}-max'"


def test_a_folder_with_a_star_in_its_name_is_that_folder_and_no_other(tmp_path: Path) -> None:
    for name in ("best*", "best-of-2014"):
        (tmp_path / name).mkdir()
    command = ("featstore", "build", f"{tmp_path}/best*")
    assert Step("features", command).arguments() == [*command]
