"""The checks that every manifest passes, the split by patient, and one label row a study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig
from core.data.labels import UNKNOWN
from core.data.manifest import one_class_labels, select_labels, split_by_patient, studies_of, validate
from core.errors import ConfigError, DataError


def manifest(rows: list[tuple[str, str, str, str, float]]) -> pd.DataFrame:
    """A manifest of (patient, study, view, split, label Edema) rows."""
    patient, study, view, split, label = zip(*rows, strict=True)
    ids = [f"i{i}" for i in range(len(rows))]
    return pd.DataFrame(
        {
            "dataset": "test",
            "patient_id": patient,
            "study_id": study,
            "image_id": ids,
            "view": view,
            "view_raw": view,
            "path": [f"/{i}.png" for i in ids],
            "split": split,
            "site": "",
            "labels_raw": "",
            "photometric": "",
            "Edema": np.array(label, dtype=np.float32),
        }
    )


GOOD = [
    ("p0", "s0", "frontal", "train", 0.0),
    ("p0", "s0", "lateral", "train", 1.0),
    ("p1", "s1", "frontal", "validate", 1.0),
    ("p2", "s2", "unknown", "test", float("nan")),
]


def changed(row: int, column: str, value: object) -> pd.DataFrame:
    table = manifest(GOOD)
    table.loc[row, column] = value
    return table


def test_a_good_manifest_passes_unchanged() -> None:
    pd.testing.assert_frame_equal(validate(manifest(GOOD)), manifest(GOOD))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (manifest(GOOD).drop(columns=["split", "site"]), "lacks split, site"),
        (changed(0, "patient_id", "p1"), "study_id with more than one patient_id: s0"),
        (changed(3, "patient_id", "p0"), "patient_id with more than one split: p0"),
        (changed(1, "image_id", "i0"), "image_id appears more than once: i0"),
        (changed(1, "study_id", ""), "study_id is blank in manifest rows 1"),
        (changed(1, "view", "oblique"), "view is 'oblique'"),
        (changed(1, "split", "dev"), "split is 'dev'"),
        (changed(1, "Edema", 0.5), "label Edema is 0.5"),
        (changed(2, "split", "train"), "no study is in split validate"),
    ],
)
def test_what_is_wrong_is_named(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate(table)


def test_a_study_takes_the_strongest_label_of_its_images() -> None:
    nan = float("nan")
    cases = {"a": ([0, 1], 1), "b": ([-1, 0], -1), "c": ([nan, 0], 0), "d": ([nan, nan], nan), "e": ([-1, 1], 1)}
    cases |= {"f": ([UNKNOWN, UNKNOWN], UNKNOWN), "g": ([UNKNOWN, nan], nan), "h": ([0, UNKNOWN], 0)}
    rows = [("p" + s, s, "frontal", "train", value) for s, (values, _) in cases.items() for value in values]
    studies = studies_of(manifest(rows)).set_index("study_id")["Edema"]
    for study, (_, expected) in cases.items():
        np.testing.assert_equal(float(studies[study]), float(expected))


def test_the_order_of_studies_does_not_depend_on_the_order_of_rows() -> None:
    rows = [(f"p{i}", f"s{i}", "frontal", "train", 0.0) for i in range(50)]
    studies = studies_of(manifest(rows))
    pd.testing.assert_frame_equal(studies, studies_of(manifest(rows[::-1])))
    assert studies["study_id"].tolist() != sorted(studies["study_id"])


def test_split_by_patient_keeps_patients_whole_and_the_fractions() -> None:
    patients = pd.Series([f"p{i // 3}" for i in range(3000)])
    split = split_by_patient(patients, DataConfig(name="folder"))
    assert split.groupby(patients).nunique().max() == 1
    assert split.value_counts().to_dict() == {"train": 2100, "test": 600, "validate": 300}
    assert not split.equals(split_by_patient(patients, DataConfig(name="folder", split_seed=1)))
    shuffled = patients.sample(frac=1, random_state=0)
    assert split_by_patient(shuffled, DataConfig(name="folder")).sort_index().equals(split)


def test_labels_are_selected_in_the_order_asked_for() -> None:
    table = manifest(GOOD).assign(Fracture=0.0)
    assert list(select_labels(table, ["Fracture", "Edema"]).columns[-2:]) == ["Fracture", "Edema"]
    assert list(select_labels(table, []).columns[-2:]) == ["Edema", "Fracture"]
    with pytest.raises(ConfigError, match=r"no label 'Edena'\n.*did you mean Edema"):
        select_labels(table, ["Edena"])


def test_a_label_with_one_class_is_told() -> None:
    studies = studies_of(manifest([*GOOD, ("p3", "s3", "frontal", "train", 0.0)]))
    assert one_class_labels(studies, ["Edema"]) == [
        "validate (1 studies) has only positives of label Edema",
        "test (1 studies) has no known values of label Edema",
    ]
