"""The data card against counts made by hand, and the verb that prints it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data.checks import check, data_card, label_counts, pair_counts, site_counts, split_counts, view_counts
from core.data.labels import UNKNOWN
from core.data.store import open_store
from core.errors import DataError
from tests.core.data.files import write_films
from tests.core.data.tables import make_table
from viewpair.cli import main


def test_counts_of_a_table_made_by_hand() -> None:
    labels = np.array([[1, 0], [1, -1], [0, np.nan], [np.nan, UNKNOWN]], dtype=np.float32)
    table = make_table([("a", "fl"), ("a", "ffl"), ("b", "u"), ("c", "l")], labels)
    assert split_counts([table]).to_dict("records") == [
        {"split": "train", "patients": 3, "studies": 4, "images": 7, "frontal and lateral": 2}
    ]
    assert view_counts([table]).to_dict("records") == [{"split": "train", "frontal": 3, "lateral": 3, "unknown": 1}]
    kinds = ("positive", "negative", "uncertain", "not mentioned", "unknown")
    assert label_counts([table])[list(kinds)].to_numpy().tolist() == [[2, 1, 0, 1, 0], [0, 1, 1, 1, 1]]
    assert site_counts([table]).empty
    counts = pair_counts(table).set_index(["pairing", "kind"])["count"].to_dict()
    assert counts[("same_study", "frontal-lateral, same study")] == 2
    assert counts[("same_study", "single view")] == 2
    assert counts[("same_study_any", "frontal-frontal-lateral, same study")] == 3
    assert counts[("same_patient", "frontal-lateral, same patient, other study")] == 2


def test_the_card_holds_every_table(pristine: Path) -> None:
    card = data_card(pristine)
    assert open_store(pristine).fingerprint in card
    for line in ("## Splits", "## Images by view", "## Studies by label", "patients in more than one split: 0"):
        assert line in card
    assert "/" not in card  # no path, so that two people's cards of one data set are equal


def test_check_finds_one_changed_byte(built: Path) -> None:
    check(built)
    shard = built / "test-000000.tar"
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"test-000000.tar does not have the SHA-256"):
        check(built)


def test_the_verb_builds_checks_mends_and_describes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = write_films(tmp_path, patients=12)
    words = ["data=folder", f"data.csv={csv}", f"paths.root={tmp_path}"]
    assert main(["data", "check", *words]) == 2
    assert "holds no finished data set" in capsys.readouterr().err
    assert main(["data", "--workers", "1", *words]) == 0
    built = capsys.readouterr().out
    assert "built folder at 64 px; studies: train" in built
    folder = Path(built.splitlines()[-1])
    assert main(["data", "check", *words]) == 0
    shard = next(folder.glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-512])
    capsys.readouterr()
    assert main(["data", "card", *words]) == 2
    error = capsys.readouterr().err
    assert shard.name in error
    assert "viewpair data build" in error
    assert main(["data", "build", "--workers", "1", *words]) == 0
    assert main(["data", "card", *words]) == 0
    assert "## Splits" in capsys.readouterr().out
    assert main(["data", "chek", *words]) == 2
    assert "did you mean check?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("path,patient_id,study\na.png,p,s\n", "no column 'study_id', 'view'"),
        ("path,patient_id,study_id,view,Edema\na.png,p,s,PA,9\n", "a.png"),
    ],
)
def test_the_verb_answers_a_bad_csv_without_a_traceback(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "films.csv"
    csv.write_text(line)
    assert main(["data", "data=folder", f"data.csv={csv}", f"paths.root={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
