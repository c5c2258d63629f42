"""Short templated reports of the phantom's studies, in MIMIC-CXR's form, from what its tables say.

A report says what the study's labels say (a hedge for uncertain ones, nothing of those not mentioned), with the side
and the grade of the finding. Written only where reports are asked for; no other byte of the phantom changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from core.data.types import CHEXPERT_LABELS
from core.io import write_text

GRADES = ((0.45, "mild"), (0.75, "moderate"), (math.inf, "severe"))
# Not said by themselves: that nothing was found, and what other sentences imply.
SUMMARY = "No Finding"
DEVICES = "Support Devices"


def grade(severity: float) -> str:
    """Word for a severity in [0, 1]."""
    return next(word for limit, word in GRADES if severity < limit)


def sentence(finding: str, value: float, about: Mapping[str, tuple[str, float]]) -> str:
    """What a report says of one label (1, 0, -1); about: side and severity of each finding that is there."""
    name = finding.lower()
    if finding == DEVICES:
        return "Support devices in place." if value == 1 else "No support devices."
    if value == 0:
        return f"No {name}."
    side, severity = about.get(finding, ("", math.nan))
    described = " ".join(word for word in (side if side in ("left", "right") else "", name) if word)
    if value == -1:
        return f"Possible {described}."
    text = described if math.isnan(severity) else f"{grade(severity)} {described}"
    return text[0].upper() + text[1:] + "."


def report_text(labels: Mapping[str, float], about: Mapping[str, tuple[str, float]]) -> str:
    """A report with findings (what is absent) and an impression (what is not)."""
    mentioned = [n for n in CHEXPERT_LABELS if n != SUMMARY and not math.isnan(labels[n])]
    absent = [sentence(n, 0, about) for n in mentioned if labels[n] == 0]
    present = [sentence(n, labels[n], about) for n in mentioned if labels[n] != 0]
    if labels[SUMMARY] == 1:
        present = ["No acute cardiopulmonary process.", *present]
    return f" FINDINGS:  {' '.join(absent)}\n\n IMPRESSION:  {' '.join(present or absent)}\n"


def write_reports(folder: Path, manifest: pd.DataFrame, paths: Mapping[str, Path]) -> None:
    """Write the report of every study of a finished phantom in `folder`. paths: study_id -> file."""
    findings = pd.read_csv(folder / "phantom-findings.csv.gz", dtype={"study_id": str}, keep_default_na=False)
    about: dict[str, dict[str, tuple[str, float]]] = {study: {} for study in paths}
    for study, finding, side, severity in findings[["study_id", "finding", "side", "severity"]].itertuples(index=False):
        about[study][finding] = (str(side), float(severity))
    labels = manifest.drop_duplicates("study_id").set_index("study_id")[list(CHEXPERT_LABELS)]
    for study, values in zip(labels.index, labels.to_dict("records"), strict=True):
        named = {str(name): float(value) for name, value in values.items()}
        write_text(paths[study], report_text(named, about[study]))
