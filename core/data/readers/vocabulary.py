"""One vocabulary of findings for all data sets: CheXpert's fourteen, and what others name besides.

A data set's own words are kept in the manifest's `labels_raw`. A word may stand under several labels: a mass is a
Mass and a Lung Lesion (CheXpert's label for masses and nodules, Irvin et al. 2019, appendix).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from core.data.labels import UNKNOWN
from core.data.types import CHEXPERT_LABELS

# Label -> how data sets spell it, besides its own name; as `plain` makes them. Sources of the words: ChestX-ray14
# (Wang et al. 2017), PadChest (Bustos et al. 2020), VinDr-CXR (Nguyen et al. 2022), MeSH headings of Open-i.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "Atelectasis": (
        "atelectases", "pulmonary atelectasis", "total atelectasis", "lobar atelectasis", "segmental atelectasis",
        "laminar atelectasis", "round atelectasis", "atelectasis basal",
    ),
    "Cardiomegaly": (),
    "Consolidation": (),
    "Edema": ("pulmonary edema",),
    "Enlarged Cardiomediastinum": ("mediastinal enlargement", "superior mediastinal enlargement"),
    "Fracture": (
        "fractures, bone", "rib fracture", "clavicle fracture", "humeral fracture", "vertebral fracture",
    ),
    "Lung Lesion": ("mass", "pulmonary mass", "nodule", "multiple nodules", "nodule/mass", "lung tumor"),
    "Lung Opacity": ("opacity", "airspace opacity"),
    "No Finding": ("normal",),
    "Pleural Effusion": (
        "effusion", "loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax",
    ),
    "Pleural Other": (
        "pleural thickening", "apical pleural thickening", "calcified pleural thickening", "pleural plaques",
        "calcified pleural plaques",
    ),
    "Pneumonia": ("atypical pneumonia",),
    "Pneumothorax": ("hydropneumothorax",),
    "Support Devices": (
        "pacemaker", "electrical device", "dual chamber device", "single chamber device", "dai", "nsg tube",
        "endotracheal tube", "tracheostomy tube", "chest drain tube", "ventriculoperitoneal drain tube", "catheter",
        "central venous catheter", "central venous catheter via jugular vein", "reservoir central venous catheter",
        "central venous catheter via subclavian vein", "central venous catheter via umbilical vein",
        "medical device", "implanted medical device", "catheters, indwelling", "tube, inserted",
    ),
    "Aortic Enlargement": (),
    "Calcification": ("calcified densities", "calcinosis"),
    "COPD": ("copd signs", "pulmonary disease, chronic obstructive"),
    "Emphysema": ("pulmonary emphysema",),
    "Fibrosis": ("pulmonary fibrosis",),
    "Granuloma": ("calcified granuloma",),
    "Hernia": ("hiatal hernia", "hernia, hiatal"),
    "Infiltration": ("infiltrate", "infiltrates"),
    "Interstitial Lung Disease": ("ild", "lung diseases, interstitial"),
    "Mass": ("pulmonary mass",),
    "Nodule": ("multiple nodules",),
    "Pleural Thickening": ("apical pleural thickening", "calcified pleural thickening"),
    "Scoliosis": (),
    "Tuberculosis": (),
}  # fmt: skip
assert set(CHEXPERT_LABELS) <= set(SPELLINGS)

Parse = Callable[[str], Sequence[str] | None]


def plain(word: str) -> str:
    """A word in lower case, with single spaces and without underscores."""
    return " ".join(word.replace("_", " ").casefold().split())


WORDS: dict[str, tuple[str, ...]] = {}
for _label, _spellings in SPELLINGS.items():
    for _word in (plain(_label), *_spellings):
        WORDS[_word] = (*WORDS.get(_word, ()), _label)


def labels_of(word: str) -> tuple[str, ...]:
    """All labels that a data set's word makes positive; none for a word outside the vocabulary."""
    return WORDS.get(plain(word), ())


def main_label(word: str) -> str:
    """The one label that names a data set's word best; the word itself outside the vocabulary."""
    labels = labels_of(word)
    own = [label for label in labels if plain(label) == plain(word)]
    return (own or [*labels, word])[0]


def label_table(raw: pd.Series, parse: Parse, labels: Sequence[str]) -> pd.DataFrame:
    """A float32 column per label: 1 where a row's words name it, 0 where they do not, UNKNOWN where nobody has looked.

    raw: what the data set says of each image. parse: that as words, None where nobody has looked. labels: the
    columns, which are the same for every part of a data set, whatever its rows name.
    """
    texts, rows = np.unique(raw.to_numpy(dtype=str), return_inverse=True)
    values = np.zeros((len(texts), len(labels)), dtype=np.float32)
    place = {label: column for column, label in enumerate(labels)}
    for row, text in enumerate(texts):
        words = parse(str(text))
        if words is None:
            values[row] = UNKNOWN
            continue
        named = {label for word in words for label in labels_of(word)}
        values[row, [place[label] for label in named & place.keys()]] = 1.0
    return pd.DataFrame(values[rows], columns=list(labels), index=raw.index)


def outside(raw: pd.Series, parse: Parse, labels: Sequence[str]) -> dict[str, int]:
    """Words of the data set that no label of `labels` stands for, with the number of images, most frequent first."""
    counts: Counter[str] = Counter()
    for text, images in raw.value_counts().items():
        for word in set(parse(str(text)) or ()):
            if not set(labels_of(word)) & set(labels):
                counts[word] += int(images)
    return dict(counts.most_common())
