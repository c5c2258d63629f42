"""Numbers for prose agree with the tables, and every table of a report compiles."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.macros import slug, slugs
from tests.analysis.factory import KEY, MadeCell, World, make_ablation
from viewpair.cli import main

SMALL = World(patients=30, labels=("Edema", "Pneumothorax"))
CELLS = [
    MadeCell("mvmae a_b=50% & {x} #1", strength=1.6),
    MadeCell("worse ≈ β"),
    MadeCell("MAE", "mae", role="baseline", strength=0.5),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with macros, one seed of the reference missing."""
    root = tmp_path_factory.mktemp("macros") / "outputs"
    claims = ["MAE < worse ≈ β on macro_auroc by 0.01"]
    ids = make_ablation(root, "baselines", CELLS, SMALL, (0, 1), claims=claims, draw=("strip",))
    (root / "trials" / ids["MAE"][1] / "evaluations" / KEY / "result.json").unlink()
    assert main(["report", f"paths.root={root}", "--resamples", "100", "--macros"]) == 0
    return root / "reports" / "baselines"


def test_macros_say_what_the_tables_say(folder: Path) -> None:
    text = (folder / "macros.tex").read_text()
    found = {
        (row, key): value for _, row, key, value in re.findall(r"\\vpdefine\{(.*?)\}\{(.*?)\}\{(.*?)\}\{(.*)\}", text)
    }
    for row in csv.DictReader((folder / "table.csv").open()):
        for column in ("macro_auroc_1", "macro_auroc_0.01", "knn_macro_auroc"):
            own = found[slug(row["row"]), slug(column)]
            assert own == rf"\num{{{float(row[column]):.3f}}}"
            low, high = (rf"\num{{{float(row[f'{column}_{end}']):.3f}}}" for end in ("low", "high"))
            assert found[slug(row["row"]), f"{slug(column)}-interval"] == f"[{low}, {high}]"
    for row in csv.DictReader((folder / "comparisons.csv").open()):
        assert found[slug(row["row"]), "difference"] == rf"\num{{{float(row['difference']):.3f}}}"
    assert found["mae", "seeds"] == r"\num{1}"
    assert found["claim-1", "verdict"] in ("supported", "refuted", "equivalent", "inconclusive")
    assert found["test", "patients"] == r"\num{30}"


def test_names_stay_apart() -> None:
    assert slugs(["a b", "a_b", "c", "A-B"]) == {"a b": "a-b", "a_b": "a-b-2", "c": "c", "A-B": "a-b-3"}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex")
def test_every_table_and_the_macros_compile(folder: Path, tmp_path: Path) -> None:
    tables = sorted(path for path in folder.glob("*.tex") if path.name != "macros.tex")
    assert {path.stem for path in tables} >= {"table", "labels", "claims", "comparisons", "quality", "efficiency"}
    lines = [r"\documentclass{article}", r"\usepackage{booktabs,graphicx,siunitx}", r"\begin{document}"]
    lines += [rf"\input{{{folder / 'macros.tex'}}}", r"AUROC \vp{baselines}{mae}{macro-auroc-1}"]
    lines += [rf"\input{{{path}}}" for path in tables]
    lines += [rf"\includegraphics[width=4cm]{{{folder / 'forest.pdf'}}}", r"\end{document}"]
    (tmp_path / "paper.tex").write_text("\n".join(lines))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:]
    lines[4] = r"\vp{baselines}{nobody}{macro-auroc-1}"
    (tmp_path / "paper.tex").write_text("\n".join(lines))
    wrong = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert "no number macro-auroc-1 of row nobody" in wrong.stdout.replace("\n", "")
