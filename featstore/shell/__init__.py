"""What the four command lines share: running, options, progress, tables, JSON and the way to fail."""

from featstore.shell.app import App, new_app, run
from featstore.shell.config import ConfigOption, SettingsFileOption
from featstore.shell.faults import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_USAGE,
    fail,
)
from featstore.shell.options import DryRunOption, JsonOption, Names, OutOption, SeedOption, listed_in
from featstore.shell.progress import Bar, progress
from featstore.shell.speech import (
    in_words,
    print_json,
    print_line,
    print_table,
    quiet,
    say,
    warn,
    warn_in_short,
    warn_of_each,
)

__all__ = [
    "EXIT_BUG",
    "EXIT_DONE",
    "EXIT_INCOMPLETE",
    "EXIT_INTERRUPTED",
    "EXIT_REFUSED",
    "EXIT_USAGE",
    "App",
    "Bar",
    "ConfigOption",
    "DryRunOption",
    "JsonOption",
    "Names",
    "OutOption",
    "SeedOption",
    "SettingsFileOption",
    "fail",
    "in_words",
    "listed_in",
    "new_app",
    "print_json",
    "print_line",
    "print_table",
    "progress",
    "quiet",
    "run",
    "say",
    "warn",
    "warn_in_short",
    "warn_of_each",
]
