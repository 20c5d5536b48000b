"""Help pages as plain text: they open at once, fold at any width, and keep examples on lines of their own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    # Their types alone; typer keeps them in a module of its own.
    from typer._click import Context, Parameter
    from typer._click.formatting import HelpFormatter

_LIST = re.compile(r"<list\[(\w+)\]>")


class Command(TyperCommand):
    """A command whose options are grouped under headings."""

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002  # its signature
        """Write what the command does."""
        _write_text(self.help or "", formatter)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write arguments, then options under the heading of their group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        last: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            names, text = record
            row = (_LIST.sub(r"<\1>", names), text.replace("\\[", "["))
            is_option = parameter.param_type_name == "option"
            title = getattr(parameter, "rich_help_panel", None) or ("Options" if is_option else "Arguments")
            if is_option and parameter.name == "help":
                # The last line of the last group.
                last = {next(reversed(sections)): [row]}
                continue
            sections.setdefault(title, []).append(row)
        for title, rows in last.items():
            sections[title] += rows
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=28)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read arguments and options."""
        _no_is_false(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002  # a whole sentence, folded where need be
        """Return the first paragraph."""
        return " ".join(inspect.cleandoc(self.help or "").split("\n\n")[0].split())


class Group(TyperGroup):
    """A command line: opens without what only its commands need."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the options before the command."""
        _no_is_false(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _no_is_false(parameters: Iterable[Parameter]) -> None:
    """Let flags that were not given be False: to look at None, typer would load pydantic for a quarter of a second."""
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag and parameter.default is None:
            parameter.default = False


def _write_text(text: str, formatter: HelpFormatter) -> None:
    """Write paragraphs; those that begin with a dash are commands and are not folded."""
    formatter.write_paragraph()
    with formatter.indentation():
        previous = ""
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
            if not previous.startswith("- ") or not paragraph.startswith("- "):
                formatter.write("\n" if previous else "")
            if paragraph.startswith("- "):
                line = " ".join(paragraph.removeprefix("- ").split()).strip("`")
                formatter.write(f"{'':>{formatter.current_indent + 2}}{line}\n")
            else:
                formatter.write_text(" ".join(paragraph.split()))
            previous = paragraph
