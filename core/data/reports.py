"""Reports as numbers: words of a vocabulary that the training split's reports make.

MVMAE-V2T's release takes BERT's word pieces, whose vocabulary is a download; whole words need none (ours).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from core.data.types import Ints

# What a row of words is filled up with, how it begins and ends, and a word that is not in the vocabulary.
PADDING, START, END, UNKNOWN = range(4)
SPECIAL = 4
LONGEST = 300  # words that are kept of a report (arXiv 2507.02987, code)
MOST_WORDS = 30_000
IMPRESSION = re.compile(r"^[ \t]*IMPRESSION:(.*?)(?=^[ \t]*[A-Z][A-Z() ]+:|\Z)", re.MULTILINE | re.DOTALL)


def impression(text: str) -> str:
    """The impression of a report in MIMIC-CXR's form, its white space made single; "" where it has none."""
    found = IMPRESSION.search(text)
    return " ".join(found[1].split()) if found else ""


def read_impression(path: Path) -> str:
    """The impression of a report's file; "" where there is no such file."""
    return impression(path.read_text(errors="replace")) if path.is_file() else ""


def words(text: str) -> list[str]:
    """Lower-case words, numbers and marks of a text, in order."""
    return re.findall(r"[a-z]+|\d+|[^\w\s]", text.lower())


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """The words of `texts`, frequent ones first, at most 30,000."""
    counts = Counter(word for text in texts for word in words(text))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS])


def encode(texts: Sequence[str], known: Sequence[str]) -> Ints:
    """[S, R] int64: the words of each text, END behind them, PADDING up to the longest; all PADDING for no words."""
    number = {word: SPECIAL + place for place, word in enumerate(known)}
    rows = [[number.get(word, UNKNOWN) for word in words(text)[:LONGEST]] for text in texts]
    tokens = np.full((len(rows), 1 + max((len(row) for row in rows), default=0)), PADDING, np.int64)
    for place, row in enumerate(rows):
        if row:
            tokens[place, : len(row) + 1] = [*row, END]
    return tokens
