"""A trial's results on disk: what was measured, on what, with which code, at which cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from core.compose import trial_to_dict
from core.config import TrialConfig
from core.data.store import StudyStore
from core.errors import DataError
from core.evaluation.base import Evaluated, Metric
from core.identity import code_version, evaluation_key, trial_id
from core.io import atomic_path, read_json, sha256_file, write_bytes, write_json
from core.seal import RESULT, SCHEMA, SEAL, seal

PREDICTIONS, COST = "predictions.parquet", "cost.json"
METRIC_FIELDS = tuple(Metric.__dataclass_fields__)
_in_order = itemgetter(*METRIC_FIELDS)
AGAIN = "delete this folder and evaluate the trial again"


@dataclass(frozen=True)
class Result:
    """A result as read back.

    trial: its id. config: plain containers. data: name, fingerprint, labels, n_studies per split. cost: the
    content of cost.json. skipped: evaluation -> why it did not apply. files: name -> {"bytes", "sha256"} of
    the files beside result.json.
    """

    folder: Path
    trial: str
    seed: int
    config: dict[str, Any]
    code: str
    data: dict[str, Any]
    label_policy: str
    cost: dict[str, Any]
    metrics: list[Metric]
    skipped: dict[str, str]
    files: dict[str, dict[str, Any]]

    def frame(self) -> pd.DataFrame:
        """The metrics as a table with the fields of `Metric` as columns."""
        return pd.DataFrame([asdict(m) for m in self.metrics], columns=list(Metric.__dataclass_fields__))

    def predictions(self) -> pd.DataFrame:
        """Predictions per study, columns as in `Evaluated`. Raises DataError for a damaged or absent file."""
        return pd.read_parquet(self.file(PREDICTIONS))

    def file(self, name: str) -> Path:
        """Path of a file kept beside the result, its bytes checked. Raises DataError when it is damaged or absent."""
        path = self.folder / name
        if name not in self.files or not path.is_file():
            raise DataError(f"{path} does not exist", AGAIN)
        if sha256_file(path) != self.files[name]["sha256"]:
            raise DataError(f"{path} was cut short or changed: its hash is not the one in {RESULT}", AGAIN)
        return path


def result_folder(trial_folder: Path, config: TrialConfig) -> Path:
    """Where the results of `config.evaluation` lie: <trial>/evaluations/<evaluation_key>."""
    return trial_folder / "evaluations" / evaluation_key(config)


def write_result(trial_folder: Path, config: TrialConfig, store: StudyStore, evaluated: Evaluated) -> Path:
    """Write predictions, extra files, result.json and its seal; each whole or not at all. Returns result.json's path.

    The same inputs give the same bytes. Its cost is that of the trial's cost.json, if there is one.
    """
    folder = result_folder(trial_folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    # The hashes in an older result would no longer fit the files that are about to be written.
    for name in (SEAL, RESULT):
        (folder / name).unlink(missing_ok=True)
    if evaluated.predictions is not None:
        _write_predictions(folder / PREDICTIONS, evaluated.predictions)
    for name, data in evaluated.files.items():
        write_bytes(folder / name, data)
    names = sorted(evaluated.files) + ([PREDICTIONS] if evaluated.predictions is not None else [])
    lengths = {name: (folder / name).stat().st_size for name in names}
    files = {name: {"bytes": lengths[name], "sha256": sha256_file(folder / name)} for name in names}
    cost = trial_folder / COST
    content = _content(config, store, evaluated) | {"files": files, "cost": read_json(cost) if cost.exists() else {}}
    write_json(folder / RESULT, content)
    seal(folder, lengths)
    return folder / RESULT


def _content(config: TrialConfig, store: StudyStore, evaluated: Evaluated) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "trial": trial_id(config),
        "seed": config.seed,
        "config": trial_to_dict(config),
        "code": code_version(),
        "data": {
            "name": store.name,
            "fingerprint": store.fingerprint,
            "labels": list(store.label_names),
            "n_studies": {name: table.n_studies for name, table in store.splits.items()},
        },
        "label_policy": config.evaluation.label_policy,
        "metrics": [asdict(m) for m in evaluated.metrics],
        "skipped": evaluated.skipped,
    }


def _write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        predictions.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")


def read_result(folder: Path) -> Result:
    """Read <trial>/evaluations/<key>. Raises DataError naming the file that is absent, cut short or of another kind."""
    path = folder / RESULT
    content = read_json(path)
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{path} has schema {schema}, not {SCHEMA}", AGAIN)
    try:
        fields = {name: content[name] for name in Result.__dataclass_fields__ if name != "folder"}
        fields["metrics"] = [_metric(m) for m in content["metrics"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} lacks a field or has one too many ({error})", AGAIN) from error
    result = Result(folder=folder, **fields)
    _check_files(result)
    return result


def _metric(saved: dict[str, Any]) -> Metric:
    if len(saved) != len(METRIC_FIELDS):
        raise TypeError(f"a metric with fields {', '.join(saved)}")
    values = _in_order(saved)
    # JSON has no NaN: an undefined number is null on disk.
    return Metric(*(float("nan") if v is None else v for v in values) if None in values else values)


def _check_files(result: Result) -> None:
    # Only lengths, which cost nothing: a sweep reads hundreds of results. `file` checks the bytes.
    for name, expected in result.files.items():
        path = result.folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise DataError(f"{path} is absent or was cut short", AGAIN)
