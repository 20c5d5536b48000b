"""Gallery: small copies of training photographs, of those that an answer has named and of no other file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from evaluation.identify.contract import Neighbour
from evaluation.report.album import make_print
from evaluation.report.herbarium import Specimen

SIDE_PX = 256
N_REMEMBERED = 10_000
"""Names and paths take about 2 MB."""


class Gallery:
    """The photographs that answers have named, by image_id.

    A client can ask for nothing but an image_id, and only for one that a model itself has given as a neighbour: no
    address of a file ever comes from outside. The oldest are forgotten.
    """

    def __init__(self, n_remembered: int = N_REMEMBERED) -> None:
        self._n_remembered = n_remembered
        self._paths: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def remember(self, neighbours: Iterable[Neighbour]) -> None:
        """Note which photographs an answer names."""
        with self._lock:
            for one in neighbours:
                self._paths[one.image_id] = one.path
                self._paths.move_to_end(one.image_id)
            while len(self._paths) > self._n_remembered:
                self._paths.popitem(last=False)

    def copy_of(self, image_id: str) -> bytes | None:
        """JPEG of at most `SIDE_PX` px of a photograph, None if no answer has named it.

        Raises
        ------
        ImageError
            If its file is gone or damaged.
        """
        with self._lock:
            path = self._paths.get(image_id)
        return None if path is None else make_print(Specimen(Path(path), "", None), 0, SIDE_PX).jpeg
