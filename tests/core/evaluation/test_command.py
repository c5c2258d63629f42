"""`viewpair evaluate` as a user runs it, on a small set of films of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from viewpair.cli import main


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[str]:
    """Overrides for 40 patients with a frontal and a lateral film each, and a tiny encoder that stays random."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,study_id,view,Edema"]
    for patient in range(40):
        for view in ("frontal", "lateral"):
            pixels = rng.integers(0, 120, (32, 32)) + 100 * (patient % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{patient}_{view}.png")
            lines.append(f"{folder}/{patient}_{view}.png,p{patient},s{patient},{view},{patient % 2}")
    (folder / "films.csv").write_text("\n".join(lines) + "\n")
    data = ["data=folder", f"data.csv={folder / 'films.csv'}", "data.size=32"]
    model = ["model.width=16", "model.depth=1", "model.heads=2", "model.decoder_width=16", "model.decoder_heads=2"]
    runtime = ["train.epochs=0", "runtime.device=cpu", "runtime.tensorboard=false", f"paths.root={folder / 'outputs'}"]
    return [*data, *model, *runtime]


@pytest.fixture(scope="module", autouse=True)
def trial(films) -> Path:
    """The folder of the trained trial."""
    assert main(["train", *films]) == 0
    root = Path(films[-1].removeprefix("paths.root="))
    (config,) = (root / "trials").glob("*/config.json")
    return config.parent


def shown_result(output: str) -> Path:
    """The path that the last line of the output names."""
    return Path(output.strip().splitlines()[-1].removeprefix("result: "))


def test_overrides_find_the_trial_and_the_table_holds_the_results_numbers(films, trial, capsys) -> None:
    assert main(["evaluate", *films]) == 0
    output = capsys.readouterr().out
    path = shown_result(output)
    assert path.parent.parent.parent == trial
    metrics = json.loads(path.read_text())["metrics"]
    keys = {"evaluation": "probe", "metric": "macro_auroc", "label_fraction": 1.0, "view": "study"}
    (macro,) = [m for m in metrics if keys.items() <= m.items()]
    (line,) = [row for row in output.splitlines() if row.split()[:4] == ["probe", "study", "100", "%"]]
    assert line.split()[6] == f"{macro['value']:.3f}"
    assert "skipped head" in output
    assert (path.parent / "gallery.npz").is_file()


def test_a_classifier_of_its_own_is_measured_and_reconstruction_skipped(films, capsys) -> None:
    supervised = [*films, "method=supervised", "evaluation.run=[head,gallery]"]
    assert main(["train", *supervised]) == 0
    assert main(["evaluate", *supervised]) == 0
    output = capsys.readouterr().out
    assert any(row.split()[:4] == ["head", "study", "100", "%"] for row in output.splitlines())
    assert "skipped gallery: method supervised" in output


def test_a_result_that_is_there_is_not_measured_again(films, trial, capsys) -> None:
    main(["evaluate", *films])
    path = shown_result(capsys.readouterr().out)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert main(["evaluate", "--trial", str(trial)]) == 0
    assert path.stat().st_mtime_ns == written
    assert main(["evaluate", "--trial", str(trial), "--again"]) == 0
    assert path.stat().st_mtime_ns > written
    assert path.read_bytes() == before


def test_a_result_cut_short_is_measured_again(films, capsys) -> None:
    main(["evaluate", *films])
    path = shown_result(capsys.readouterr().out)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert main(["evaluate", *films]) == 0
    assert path.read_bytes() == whole


def test_other_settings_give_a_result_beside_the_first(films, trial, capsys) -> None:
    main(["evaluate", *films])
    first = shown_result(capsys.readouterr().out)
    assert main(["evaluate", "--trial", str(trial), "evaluation.label_policy=ignore", "evaluation.run=[knn]"]) == 0
    second = shown_result(capsys.readouterr().out)
    assert second.parent.parent == first.parent.parent
    assert second != first
    content = json.loads(second.read_text())
    assert content["label_policy"] == content["config"]["evaluation"]["label_policy"] == "ignore"
    assert {m["evaluation"] for m in content["metrics"]} == {"knn"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=77"], "is not trained"),
        (["--trial", "TRIAL", "seed=1"], "cannot change a trial that is trained"),
        (["--trial", "/nowhere"], "/nowhere is no trial's folder"),
        (["evaluation.label_policy=zero"], "did you mean zeros"),
        (["evaluation.prob.draws=2"], "evaluation.probe.draws"),
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(films, trial, capsys, words: list[str], message: str) -> None:
    words = [str(trial) if word == "TRIAL" else word for word in words]
    given = words if "--trial" in words else [*films, *words]
    assert main(["evaluate", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
