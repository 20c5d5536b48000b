"""Checkpoints: all that a run needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from keras import ops

from featstore.errors import TrainingError
from featstore.provenance import replacing, require_room
from finetune.model import random_states, use_stored_statistics

_LOG = "log"
_DAMAGES = (OSError, ValueError, KeyError, EOFError, BadZipFile)
"""What reading a file that is cut or overwritten may raise; an empty one ends at once."""


def write_checkpoint(path: Path, network: keras.Model, log: Sequence[Mapping[str, float]]) -> None:
    """Write weights, optimizer variables, states of random streams and the log, whole or not at all.

    Parameters
    ----------
    path
        An ``.npz`` file of plain arrays, read without pickle.
    network
        Compiled.
    log
        One row per epoch so far; everything that the schedule decides is read off it.
    """
    arrays = {
        f"{number:05d}": ops.convert_to_numpy(variable.value) for number, variable in enumerate(_variables(network))
    }
    arrays[_LOG] = np.frombuffer(json.dumps([dict(row) for row in log]).encode(), dtype=np.uint8)
    require_room(path.parent, int(1.1 * sum(array.nbytes for array in arrays.values())))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_log(path: Path) -> list[dict[str, float]] | None:
    """Rows of the log in a checkpoint; None if there is none.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return [dict(row) for row in json.loads(file[_LOG].tobytes())]
    except _DAMAGES as error:
        raise _damaged(path, str(error)) from error


def restore(path: Path, network: keras.Model, *, optimizer: bool) -> None:
    """Put the state of a checkpoint into a network.

    Parameters
    ----------
    path
        The checkpoint.
    network
        Compiled as it was when the checkpoint was written, its optimizer built.
    optimizer
        Whether the optimizer's variables are restored, too; without, it starts anew.

    Raises
    ------
    TrainingError
        If the file is damaged or of another network.
    """
    variables = _variables(network) if optimizer else _own_variables(network)
    try:
        with np.load(path, allow_pickle=False) as file:
            values = [file[f"{number:05d}"] for number in range(len(variables))]
    except _DAMAGES as error:
        raise _damaged(path, str(error)) from error
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise _damaged(path, f"{variable.path} of shape {value.shape}")
        variable.assign(value)
    use_stored_statistics(network)


def _own_variables(network: keras.Model) -> list[keras.Variable]:
    return [*network.weights, *random_states(network)]


def _variables(network: keras.Model) -> list[keras.Variable]:
    return [*_own_variables(network), *network.optimizer.variables]


def _damaged(path: Path, got: str) -> TrainingError:
    return TrainingError(
        f"the state of an interrupted run in {path.name}", got, "Start the run anew: --restart (its progress is lost)."
    )
