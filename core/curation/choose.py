"""Which studies a trial trains on: chosen once, by its first process, and kept in its folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from core import distributed
from core.config import TrialConfig
from core.curation.base import CURATIONS, Curated, CurationContext
from core.curation.encoder import Embed, embedder
from core.data.store import StudyStore, StudyTable
from core.engines import processes
from core.errors import DataError
from core.io import atomic_path, read_json, write_json

if TYPE_CHECKING:
    from core.trainer import OnStep, Stop

CURATED, COST, ENCODER = "curated.parquet", "cost.json", "encoder"


def everything(table: StudyTable) -> Curated:
    """All studies, and no clusters."""
    return Curated(np.ones(table.n_studies, np.bool_), np.empty((0, table.n_studies), np.int64))


def choose_studies(config: TrialConfig, store: StudyStore, folder: Path, on_step: OnStep | None, stop: Stop) -> Curated:
    """The studies of the training split that a trial trains on.

    folder: of the trial's own; what was chosen is kept there and read the next time. Of several processes the first
    chooses, by itself, and the others wait: so the choice does not depend on how many there are. All must call this.
    Raises Interrupted when `stop` says yes while the encoder is trained.
    """
    table = store.splits["train"]
    if config.curation is None or config.curation.is_default():
        return everything(table)
    from core.trainer import pick_device

    if processes.world_size() > 1:
        processes.join(pick_device(config.runtime.device))
    try:
        if distributed.rank() == 0 and not (folder / CURATED).exists():
            with distributed.alone():
                _choose(config, table, folder, embedder(config, store, folder / ENCODER, on_step, stop))
        distributed.wait_for_first_rank()
    except BaseException:
        # The others, which wait, learn of it.
        processes.leave()
        raise
    return read(folder, table)


def _choose(config: TrialConfig, table: StudyTable, folder: Path, embed: Embed) -> None:
    began = time.perf_counter()
    chosen: Curated = CURATIONS.build(config.curation).choose(CurationContext(table, config.seed, folder, embed))
    write(folder, table, replace(chosen, seconds=time.perf_counter() - began))
    shutil.rmtree(folder / ENCODER, ignore_errors=True)


def write(folder: Path, table: StudyTable, chosen: Curated) -> None:
    """Write what was chosen: a row a study, whether it is kept and its cluster on every level."""
    levels = {f"level_{number}": labels for number, labels in enumerate(chosen.clusters, 1)}
    write_json(folder / COST, {"seconds": chosen.seconds})
    with atomic_path(folder / CURATED) as temporary:
        pd.DataFrame({"study_id": table.study_ids, "kept": chosen.studies, **levels}).to_parquet(temporary, index=False)


def read(folder: Path, table: StudyTable) -> Curated:
    """What was chosen. Raises DataError when it is of other studies."""
    frame = pd.read_parquet(folder / CURATED)
    if not np.array_equal(frame["study_id"].to_numpy(dtype=str), table.study_ids):
        raise DataError(f"{folder / CURATED} is of other studies than the training split", f"delete {folder}")
    levels = [name for name in frame.columns if name.startswith("level_")]
    clusters = frame[levels].to_numpy(dtype=np.int64).T.reshape(len(levels), len(frame))
    return Curated(frame["kept"].to_numpy(dtype=np.bool_), clusters, float(read_json(folder / COST)["seconds"]))
