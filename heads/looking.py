"""Looking: photographs outside of a store become features as the store's own did, and find the most alike in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.identify.contract import OPEN_VIEW, Neighbour, Photograph
from evaluation.identify.opening import store_beside
from evaluation.report.neighbours import nearest_rows
from featstore.backbones import ENGINES, Network, weights_source
from featstore.build.prepare import Job, Prepared, prepare
from featstore.build.specs import NetworkSpec, load_network
from featstore.errors import PhytobenchError, SettingsError, StoreError, WeightsError
from featstore.roi import Recipe
from featstore.splits import read_split
from featstore.store import Store
from featstore.store.identity import Identity
from featstore.table import LazyTable, open_table
