"""Random numbers of the phantom: one stream for each (seed, patient, purpose), whoever draws it and when."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, patient: int, *purpose: str | int) -> np.random.Generator:
    """The generator of one purpose of one patient; independent of every other purpose and patient."""
    text = f"{seed}/{patient}/" + "/".join(str(p) for p in purpose)
    words = np.frombuffer(hashlib.sha256(text.encode()).digest()[15::-1], "<u4")
    return np.random.Generator(np.random.PCG64(words))


def hex_digits(seed: int, patient: int, *purpose: str | int, length: int) -> str:
    """`length` hex digits that name something of a patient, the same whenever asked."""
    text = f"id/{seed}/{patient}/" + "/".join(str(p) for p in purpose)
    return hashlib.sha512(text.encode()).hexdigest()[:length]
