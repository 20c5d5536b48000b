"""What every command of the four lines has in common: options, help, errors, configuration, completion, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from featstore import shell
from featstore.errors import DatasetError, SettingsError

LINES = {"featstore": "featstore.cli", "heads": "heads.cli", "finetune": "finetune.cli", "evaluate": "evaluation.cli"}
HEAVY = (
    "keras", "tensorflow", "jax", "torch", "numpy", "pandas", "scipy", "sklearn", "lightgbm", "matplotlib", "zarr",
    "h5py", "PIL", "pyarrow", "pydantic", "rich", "openvino", "distributed", "fastapi",
)  # fmt: skip


def commands() -> Iterator[tuple[str, str, Any]]:
    for program, module in LINES.items():
        group: Any = typer.main.get_command(import_module(module).app)
        for name, command in group.commands.items():
            yield program, name, command


def options(command: Any) -> dict[str, Any]:
    return {name: one for one in command.params for name in one.opts if name.startswith("--")}


def leave(app: typer.Typer, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        shell.run(app, list(arguments))
    return int(ended.value.code or 0)


EVERY = list(commands())
NAMED = pytest.mark.parametrize(("program", "name", "command"), EVERY, ids=[f"{p} {n}" for p, n, _ in EVERY])


@NAMED
def test_every_command_has_the_common_options(program: str, name: str, command: Any) -> None:
    there = options(command)
    assert {"--quiet", "--config", "--json"} <= set(there) or name == "serve"
    assert command.help
    # The arguments are in capitals, as the usage line and the documents write them.
    assert all((one.metavar or "").isupper() for one in command.params if one.param_type_name == "argument")
    for one in there.values():
        assert one.help
        assert "[mean]" not in one.help
        assert one.help.count("default:") <= 1


def test_an_option_of_one_name_is_one_thing() -> None:
    """The same name takes the same kind of value everywhere; the exceptions are the field's own words."""
    kinds: dict[str, set[str]] = {}
    for _, _, command in EVERY:
        for name, one in options(command).items():
            kind = one.type_descriptor.annotation
            one_of = getattr(kind, "__args__", (kind,))[0] if getattr(kind, "__origin__", None) is list else kind
            kinds.setdefault(name, set()).add(getattr(one_of, "__name__", str(one_of)))
    differing = {name for name, found in kinds.items() if len(found) > 1}
    # --precision: of arithmetic, or of answers; --tta: how many variants are made, or whether they are used.
    # --pictures is a folder; --weights and --papers are paths or addresses throughout.
    assert differing <= {"--precision", "--tta"}


def test_what_takes_long_or_destroys_can_be_tried_dry() -> None:
    dry = {f"{program} {name}": options(command)["--dry-run"] for program, name, command in EVERY
           if "--dry-run" in options(command)}  # fmt: skip
    assert set(dry) == {
        "featstore build", "featstore repair", "featstore forget", "heads compare", "finetune run", "finetune predict",
        "finetune article", "finetune demo",
    }  # fmt: skip
    assert all(one.help.startswith("Tell what is to be done") for one in dry.values())


def test_no_help_page_imports_anything_heavy() -> None:
    script = f"""
        import contextlib, importlib, io, json, sys, time
        found = {{}}
        for module in {list(LINES.values())}:
            line = importlib.import_module(module)
            import typer
            names = list(typer.main.get_command(line.app).commands)
            for arguments in (["--help"], *([name, "--help"] for name in names)):
                with contextlib.redirect_stdout(io.StringIO()) as page, contextlib.suppress(SystemExit):
                    line.main(arguments)
                loaded = [name for name in {HEAVY} if name in sys.modules]
                found[module + " " + " ".join(arguments)] = [len(page.getvalue()), loaded]
        print(json.dumps(found))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert len(found) == len(EVERY) + len(LINES)
    assert {page: loaded for page, (_, loaded) in found.items() if loaded} == {}
    assert all(length > 200 for length, _ in found.values())


def test_what_is_missing_is_told_before_a_network_can_be_loaded(tmp_path: Path) -> None:
    """A store, run or photographs that are not there: one form of error, and no Keras, which takes seconds to load."""
    script = """
        import contextlib, importlib, io, json, os, sys
        from pathlib import Path
        from featstore.catalog import make_catalog
        from featstore.store import Store
        from featstore.store.place import open_place
        from featstore.store.rows import Grid
        os.chdir(sys.argv[1])
        entry = {"image_id": "a", "path": "a.jpg", "observation_id": "a", "view": "Leaf", "split": "train"}
        Store.create(open_place("there.zarr"), make_catalog([entry], Path("photos"), "tiny"), Grid())
        Path("empty").mkdir()
        found = []
        for command in sys.argv[2:]:
            module, *words = command.split()
            with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.suppress(SystemExit):
                importlib.import_module(module).main(words)
            found.append([told.getvalue(), "keras" in sys.modules])
        print(json.dumps(found))
    """
    absent = {
        "featstore.cli build nowhere": "got no such path: nowhere",
        "featstore.cli build empty": "got a folder without files: empty",
        "featstore.cli info nowhere.zarr": "got none at",
        "heads.cli compare nowhere.zarr": "got none at",
        "heads.cli compare empty": "got none at",
        "heads.cli predict nowhere there.zarr": "got nowhere, which does not exist",
        "heads.cli predict empty there.zarr": "got empty without one",
        "heads.cli show empty": "got empty without one",
        "finetune.cli run nowhere.zarr": "got none at",
        "finetune.cli run there.zarr --from nowhere": "got no folder nowhere",
        "finetune.cli run there.zarr --from empty": "got empty without one",
        "finetune.cli run there.zarr --from empty --backbone vgg16": "mlp head of vgg16 in empty, got none",
        "finetune.cli run there.zarr --from empty --photos nowhere": "got no such path: nowhere",
        "finetune.cli show empty": "got empty without one",
        "finetune.cli predict empty there.zarr": "got empty without one",
        "finetune.cli variants empty there.zarr": "got empty without one",
    }
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), *absent]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    for (message, keras), (words, expected) in zip(json.loads(done.stdout), absent.items(), strict=True):
        assert message.startswith("error: Expected "), words
        assert expected in message, words
        assert "Error" not in message
        assert not keras, words


@pytest.fixture
def line() -> tuple[shell.App, list[dict[str, Any]]]:
    """A command line of its own, and what its command was called with."""
    app, calls = shell.new_app("Test.", "featstore", {"--colour": lambda: ("red", "green")}), []

    @app.command()
    def work(
        name: Annotated[str, typer.Argument(metavar="NAME")],
        colour: Annotated[list[str] | None, typer.Option("--colour")] = None,
        n_most: Annotated[int, typer.Option("--n-most")] = 3,
        share: Annotated[bool, typer.Option("--share/--no-share")] = True,
        as_json: shell.JsonOption = False,
    ) -> None:
        """Work."""
        calls.append({"name": name, "colour": colour or [], "n_most": n_most, "share": share, "quiet": shell.quiet()})
        shell.say("a note")
        shell.warn("a warning")
        with shell.progress(1, "work", "pieces") as bar:
            bar.update()
        if name == "refused":
            raise DatasetError("a folder", "none", "Name one.")
        if name == "bug":
            raise ZeroDivisionError("by nothing")
        if name == "late":
            shell.print_json({"schema": "work/1"})
            raise DatasetError("more", "less", "Try again.")
        if name == "losses":
            raise typer.Exit(shell.EXIT_INCOMPLETE)
        if as_json:
            shell.print_json({"schema": "work/1", "name": name})
        else:
            shell.print_line("the result")

    return app, calls


Line = tuple[shell.App, list[dict[str, Any]]]


def test_quiet_keeps_results_and_warnings(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    app, calls = line
    assert leave(app, "work", "x", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == "the result\n"
    assert captured.err == "warning: a warning\n"
    # It ends with the run.
    assert calls[0]["quiet"]
    assert not shell.quiet()
    assert leave(app, "work", "x") == 0
    assert "a note" in capsys.readouterr().err


def test_quiet_by_the_environment(
    line: Line, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHYTOBENCH_QUIET", "1")
    assert leave(line[0], "work", "x") == 0
    assert capsys.readouterr().err == "warning: a warning\n"
    assert os.environ["PHYTOBENCH_QUIET"] == "1"


@pytest.mark.parametrize(
    ("arguments", "code", "expected", "got"),
    [
        (["work", "refused"], 1, "a folder", "none"),
        (["work", "bug"], 70, "no such fault", "ZeroDivisionError: by nothing in test_habits.py"),
        (["work", "x", "--n-most", "many"], 2, "work [OPTIONS]", "--n-most"),
        (["work", "x", "--colours", "red"], 2, "work [OPTIONS]", "no such option: --colours"),
        (["work"], 2, "work [OPTIONS]", "missing argument 'NAME'"),
        (["wrok"], 2, "[OPTIONS] COMMAND", "Did you mean 'work'"),
    ],
)
def test_errors_have_one_form_and_a_code(
    line: Line, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, expected: str, got: str
) -> None:
    assert leave(line[0], *arguments) == code
    captured = capsys.readouterr()
    told = captured.err.splitlines()[-1]
    assert told.startswith("error: Expected ")
    assert expected in told
    assert got in told
    assert captured.out == ""
    # With --json standard output has one document all the same.
    assert leave(line[0], *arguments, "--json") == code
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "error/1"
    assert document["exit_code"] == code
    assert set(document["error"]) == {"expected", "got", "remedy"}
    assert expected in document["error"]["expected"]
    assert got in document["error"]["got"]


def test_an_error_after_the_result_leaves_one_document(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(line[0], "work", "late", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"schema": "work/1"}
    assert "error: Expected more, got less. Try again." in captured.err


def test_losses_have_a_code_of_their_own(line: Line) -> None:
    assert leave(line[0], "work", "losses") == 3


def test_a_fault_of_the_program_shows_its_place_when_asked(
    line: Line, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leave(line[0], "work", "bug") == 70
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("PHYTOBENCH_DEBUG", "1")
    assert leave(line[0], "work", "bug") == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_file_of_options_speaks_where_the_command_line_does_not(line: Line, tmp_path: Path) -> None:
    app, calls = line
    file = tmp_path / "options.toml"
    file.write_text('[featstore.work]\ncolour = "red"\nn-most = 7\nshare = false\n[heads.compare]\nseed = 1\n')
    assert leave(app, "work", "x", "--config", str(file)) == 0
    assert leave(app, "work", "x", "--n-most", "2", "--colour", "green", "--config", str(file)) == 0
    assert leave(app, "work", "x") == 0
    assert [(call["colour"], call["n_most"], call["share"]) for call in calls] == [
        (["red"], 7, False),
        (["green"], 2, False),
        ([], 3, True),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[featstore.work]\ncolor = 'red'", "got `color`. Did you mean `colour`?"),
        ("[featstore.wrok]\ncolour = 'red'", "got [featstore.wrok]. Did you mean `work`?"),
        ("[featsore.work]\ncolour = 'red'", "got `featsore`. Did you mean `featstore`?"),
        ("n-most = 3", "got `n-most`. Put options into the table of their command, such as [featstore.work]."),
        ("[featstore]\nn-most = 3", "an option in [featstore]"),
        ("[featstore.work]\nn-most = 'many'", "a value of --n-most for `n-most` in [featstore.work]"),
        ("[featstore.work]\nshare = 'perhaps'", "a value of --share"),
        ("[featstore.work\n", "a readable TOML file for --config"),
    ],
)
def test_a_wrong_file_of_options_is_refused(
    line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    file = tmp_path / "options.toml"
    file.write_text(content)
    assert leave(line[0], "work", "x", "--config", str(file)) == 1
    assert message in capsys.readouterr().err
    assert line[1] == []


def test_settings_of_finetuning_may_share_the_file(tmp_path: Path) -> None:
    from dataclasses import fields

    from finetune.config import OPTIONS_ALONE, load_settings
    from finetune.settings import TrainSettings

    file = tmp_path / "all.toml"
    file.write_text(
        '[featstore.build]\nroi = "ibm"\n[finetune.run]\nfrom = "runs"\nbatch-size = 8\nlayer_decay = 0.7\n'
        "[finetune.run.augment]\nnoise = 0.0\n"
    )
    settings = load_settings(file, {"epochs": 2})
    assert (settings.batch_size, settings.layer_decay, settings.epochs) == (8, 0.7, 2)
    file.write_text("[finetune.run]\nlayer_decya = 0.7\n")
    with pytest.raises(SettingsError, match="layer_decay"):
        load_settings(file, {})
    # Each option of the command is a setting, or known to be none.
    command = next(command for program, name, command in EVERY if (program, name) == ("finetune", "run"))
    names = {name.removeprefix("--").replace("-", "_") for name in options(command)} - {"config", "help"}
    assert names - {field.name for field in fields(TrainSettings)} == OPTIONS_ALONE


def complete(module: str, variable: str, words: str) -> list[str]:
    """What bash is told for a line that is typed so far, in a process of its own."""
    script = f"import sys; from {module} import app; app(prog_name={words.partition(' ')[0]!r})"
    environment = {**os.environ, variable: "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("module", "variable", "words", "expected"),
    [
        ("featstore.cli", "_FEATSTORE_COMPLETE", "featstore bu", {"build"}),
        ("featstore.cli", "_FEATSTORE_COMPLETE", "featstore build x --backbone mobilenet_v", {"mobilenet_v2"}),
        ("heads.cli", "_HEADS_COMPLETE", "heads compare x --head lo", {"logistic"}),
        ("evaluation.cli", "_EVALUATE_COMPLETE", "evaluate fuse x --rule stack", {"stacked", "stacked_views"}),
    ],
)
def test_a_shell_completes(module: str, variable: str, words: str, expected: set[str]) -> None:
    assert expected <= set(complete(module, variable, words))


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for module in LINES.values():
        assert leave(import_module(module).app, "--version") == 0
        assert capsys.readouterr().out.startswith("phytobench ")


def test_every_result_can_be_json() -> None:
    """Commands that print a table also print a document."""
    without = [f"{program} {name}" for program, name, command in EVERY if "--json" not in options(command)]
    assert set(without) <= {"evaluate serve"}
