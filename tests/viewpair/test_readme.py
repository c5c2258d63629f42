"""Every command of the README runs as it stands there, on small data; those for other people's folders compose."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.data.readers.base import READERS
from tests.shell import Command
from viewpair.cli import dispatch

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text()

SMALL = [
    "data.size=32",
    "model.width=32",
    "model.depth=1",
    "model.heads=2",
    "model.decoder_width=16",
    "train.epochs=1",
    "train.batch_size=8",
    "runtime.tensorboard=false",
    "evaluation.probe.draws=1",
    # The other usual ones run in tests/sweeps/test_end_to_end.py.
    "evaluation.run=[probe,knn]",
]
PHANTOM = ["data.patients=30"]
SWEEP = ["seeds=[0]", "launcher.processes=2"]


def shell_lines() -> list[str]:
    """The lines of the README's sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def commands() -> list[list[str]]:
    """The words after `viewpair` of every command line."""
    return [line.split("viewpair ", 1)[1].split() for line in shell_lines() if "viewpair " in line]


def needs_a_cluster_or_a_data_set(words: list[str]) -> bool:
    return any("=/datasets/" in word or word.startswith(("preset=paper", "launcher=slurm")) for word in words)


def smaller(words: list[str]) -> list[str]:
    """The same command on less data: settings appended behind what the README says."""
    verb, data = words[0], [] if "data=folder" in words else PHANTOM
    if verb == "bench":
        return [*words, "--repeat", "1", "--files", "60", *SMALL, *data]
    if verb in ("sweep", "reproduce"):
        return [*words, *SMALL, *SWEEP, *data]
    if verb in ("status", "report", "resume", "cancel", "claims", "compare"):
        return words
    return [*words, *(SMALL if verb in ("train", "evaluate", "curate") else SMALL[:1]), *data]


def write_films(folder: Path) -> None:
    """films.csv as the README describes it, with 24 patients and both views of each."""
    random, rows = np.random.default_rng(0), []
    for patient in range(24):
        for view in ("PA", "lateral"):
            name = f"films/{patient}_{view}.png"
            (folder / "films").mkdir(exist_ok=True)
            Image.fromarray(random.integers(0, 256, (40, 36), dtype=np.uint8)).save(folder / name)
            rows.append({"path": name, "patient_id": patient, "study_id": patient, "view": view,
                         "Effusion": patient % 2, "Nodule": [1, 0, -1, ""][patient % 4]})  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "films.csv", index=False)


def test_the_readme_names_the_two_commands_of_a_fresh_clone() -> None:
    lines = shell_lines()
    assert "make reproduce" in lines
    assert "make test" in lines
    targets = (CHECKOUT / "Makefile").read_text()
    assert "\nreproduce:" in targets
    assert "\ntest:" in targets


@pytest.mark.parametrize("words", [w for w in commands() if needs_a_cluster_or_a_data_set(w)], ids=" ".join)
def test_commands_for_a_cluster_or_a_data_set_compose(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*words, "--cfg", "job"]) == 0
    assert "method:" in capsys.readouterr().out


def test_every_data_set_has_its_command() -> None:
    named = {word for words in commands() for word in words if word.startswith("data=")}
    assert named == {f"data={name}" for name in READERS.names()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_other_commands_run_in_the_order_of_the_readme(tmp_path: Path) -> None:
    write_films(tmp_path)
    for words in [w for w in commands() if not needs_a_cluster_or_a_data_set(w)]:
        out, _ = Command(smaller(words), tmp_path).streams()
        assert out.strip(), words
    assert (tmp_path / "outputs" / "reports" / "pairing" / "table.csv").exists()
