"""What all command lines share: exit codes, messages, progress and tables."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pickle
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from featstore import shell
from featstore.cli import main
from featstore.errors import DatasetError, PhytobenchError, listed


def outcome(error: BaseException) -> int:
    app = shell.new_app("Test.")

    @app.command()
    def work() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        shell.run(app, ["work"])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DatasetError("a folder", "none", "Name one."), 1, "error: Expected a folder, got none. Name one."),
        (OSError(errno.ENOSPC, "No space left on device", "x.zarr"), 1, "room on the disk at x.zarr"),
        (
            OSError(errno.EFBIG, "Can't write data (file write failed: buf = 0x5601384d4df8)", "x.npy"),
            1,
            f"files of this size to be allowed (ulimit -f) at x.npy, got {os.strerror(errno.EFBIG)}. What",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 1, "permission to read and write at runs"),
        (
            PermissionError(errno.EACCES, "Permission denied", f"out/.{uuid.uuid4().hex}.partial.r.html"),
            1,
            "permission to read and write at out/r.html, got",
        ),
    ],
)
def test_errors_say_what_to_do(capsys: pytest.CaptureFixture[str], error: Exception, code: int, message: str) -> None:
    assert outcome(error) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_an_argument_without_permission_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Permissions do not stop root, so the question about them is answered here."""
    (tmp_path / "photos").mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(SystemExit, match="2"):
        main(["build", str(tmp_path / "photos")])
    assert "is not readable. Give permission to read it, or name another." in capsys.readouterr().err


def test_defects_have_a_code_of_their_own() -> None:
    assert outcome(ZeroDivisionError()) == 70


def test_an_interruption_says_that_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(KeyboardInterrupt()) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_an_only_command_keeps_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    app = shell.new_app("Test.")

    @app.command()
    def work() -> None:
        sys.stdout.write("done\n")

    with pytest.raises(SystemExit) as ended:
        shell.run(app, ["work"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "done\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no terminals of this kind")
def test_a_bar_on_a_terminal_ends_its_line_and_stays_away_from_quick_work() -> None:
    import pty
    import termios

    script = (
        "import sys, time; from featstore import shell\n"
        "for seconds in (0, 2.2):\n"
        "    with shell.progress(3, f'work of {seconds}', 'images') as bar:\n"
        "        for number in range(3):\n"
        "            time.sleep(seconds / 2 if number else 0)\n"
        "            bar.set_postfix_str(f'remark {number}'); bar.update()\n"
        "    print('said', file=sys.stderr)\n"
        # One unit that takes long, and tells what it does meanwhile.
        "with shell.progress(1, 'one', 'fits') as bar:\n"
        "    bar.set_postfix_str('begun'); time.sleep(2.2); bar.set_postfix_str('half'); time.sleep(0.1)\n"
        "print('said', file=sys.stderr)\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen([sys.executable, "-c", script], stderr=theirs) as process:
        os.close(theirs)
        said = b""
        # The terminal is gone once its only writer is.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 1024):
                said += part
    os.close(ours)
    assert process.returncode == 0
    quick, long, one, end = said.decode().split("said\r\n")
    assert (quick, end) == ("", "")
    for text, figures, remark in ((long, "3/3", "remark 2"), (one, "0/1", "half")):
        assert text.endswith("\r\n"), "the line is ended before anything else is said"
        shown = [line for line in text.rstrip().split("\r") if line]
        assert figures in shown[-1]
        assert remark in shown[-1]
    assert "begun" not in one


def test_progress_is_whole_lines_in_a_log() -> None:
    script = (
        "import time; from featstore import shell\n"
        "with shell.progress(3, 'work', 'images') as bar:\n"
        "    for n in range(3): time.sleep(0.8); bar.set_postfix_str(f'remark {n}'); bar.update()\n"
        "with shell.progress(3, 'quick', 'images') as bar: bar.update(3)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "\r" not in result.stderr
    assert "work: 100%" in result.stderr
    assert "images/s" in result.stderr
    assert "quick" not in result.stderr
    assert [line for line in result.stderr.splitlines() if "remark" in line] == result.stderr.splitlines()
    assert result.stderr.count("remark") == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_letters_that_a_pipe_has_not_end_nothing(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    name = "Ö\u017d\u03b1.jpg"
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    app = shell.new_app("Test.")

    @app.command()
    def work() -> None:
        shell.print_line(name)
        shell.print_table(name, [name], [[name]])
        shell.print_line("=====")
        shell.print_json({"schema": "work/1", "name": name})

    with pytest.raises(SystemExit) as ended:
        shell.run(app, ["work"])
    assert ended.value.code == 0
    table, _, document = written.getvalue().decode(encoding).partition("=====")
    assert name.encode(encoding, "backslashreplace").decode(encoding) in table
    assert json.loads(document) == {"schema": "work/1", "name": name}
    assert out.errors == "strict"


def test_wildcards_where_the_shell_leaves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b-mlp", "a-mlp", "c-lda"):
        (tmp_path / name).mkdir()
    app = shell.new_app("Test.")

    @app.command()
    def work(runs: list[Path], pattern: str = "") -> None:
        shell.print_json({"schema": "work/1", "runs": [run.name for run in runs], "pattern": pattern})

    def told(shell_expands: bool) -> object:
        out = io.StringIO()
        monkeypatch.setattr("featstore.shell.app._SHELL_EXPANDS", shell_expands)
        monkeypatch.setattr(sys, "argv", ["test", "work", str(tmp_path / "*-mlp"), "no*such", "--pattern", "**x"])
        with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
            shell.run(app)
        return json.loads(out.getvalue())

    assert told(False) == {"schema": "work/1", "runs": ["a-mlp", "b-mlp", "no*such"], "pattern": "**x"}
    assert told(True) == {"schema": "work/1", "runs": ["*-mlp", "no*such"], "pattern": "**x"}


@pytest.mark.parametrize(
    ("width", "left_out"), [(120, []), (60, ["images"]), (48, ["images", "Top-3"]), (30, ["images", "Top-3"])]
)
def test_a_narrow_terminal_leaves_out_what_is_secondary(
    width: int, left_out: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures stay whole wherever all columns that remain fit; nothing of a figure is ever lost."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ["run", "S", "95 % of S", "Top-3", "images"]
    row = ["a-network-with-a-long-name", "0.8867", "0.727-1.000", "0.9000", "12,345"]
    shell.print_table("T", columns, [row], secondary=["images", "Top-3"])
    shown = capsys.readouterr()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.out).splitlines()
    assert max(map(len, lines)) <= width
    kept = [name for name in columns if name not in left_out]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert ["".join(parts) for parts in zip(*cells, strict=True)] == [row[columns.index(name)] for name in kept]
    if width > 30:
        assert cells[0][1:] == [row[columns.index(name)] for name in kept[1:]]
    assert (f"left out at this width: {', '.join(left_out)};" in shown.err) == bool(left_out)


def test_tables_align_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    shell.print_table("T", ["name", "S"], [["a", "0.5"], ["long name", "10.25"]])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.rstrip(" │").endswith("  0.5") for line in lines)


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (1, ["warning: lost: 0: torn"]),
        (5, ["warning: lost:", *(f"  {n}: torn" for n in range(5))]),
        (1300, ["warning: lost:", *(f"  {n}: torn" for n in range(5)), "  and 1,295 more; --json lists all"]),
    ],
)
def test_many_failed_inputs_are_told_in_a_few_lines(
    capsys: pytest.CaptureFixture[str], n: int, told: list[str]
) -> None:
    shell.warn_of_each("lost", [(str(number), "torn") for number in range(n)], "--json lists all")
    assert capsys.readouterr().err.splitlines() == told


def test_listed_counts_the_rest() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


@pytest.mark.parametrize("command", ["featstore", "heads", "finetune", "evaluation"])
def test_help_opens_without_the_heavy_libraries(command: str) -> None:
    script = (
        f"import sys; from {command}.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'pandas', 'numpy', 'zarr', 'sklearn', 'h5py'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout


@pytest.mark.parametrize("kind", [PhytobenchError, *PhytobenchError.__subclasses__()])
def test_errors_travel_between_processes(kind: type[PhytobenchError]) -> None:
    sent = kind("a", "b", "c")
    came = pickle.loads(pickle.dumps(sent))
    assert type(came) is kind
    assert (str(came), came.expected, came.got, came.remedy) == (str(sent), "a", "b", "c")
