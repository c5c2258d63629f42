"""Hospitals: what differs between the films of one site and another's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """A site's detector, processing and DICOM habits.

    dose, scatter: factors on the configured ones. curve: 0 = linear in log exposure, 1 = strongly S-shaped.
    boost: unsharp masking's gain, over boost_width mm. window: percentiles of the film that the window spans.
    windows: how many windows the header holds. function: VOI LUT function. border: px share of a collimated edge.
    """

    name: str
    maker: str
    model: str
    modality: str
    photometric: str
    bits: int
    slope: float
    intercept: float
    dose: float
    scatter: float
    curve: float
    boost: float
    boost_width: float
    window: tuple[float, float]
    windows: int
    function: str
    collimation: float
    marker: bool
    lateral: str


SITES = (
    Site("north", "Aldus Imaging", "DirectView 7", "DX", "MONOCHROME2", 12, 1.0, 0.0, 1.0, 1.0, 0.55, 0.5, 22.0,
         (2.0, 97.0), 2, "LINEAR", 0.0, True, "LATERAL"),
    Site("harbour", "Corvane", "CR 85-X", "CR", "MONOCHROME1", 12, 1.0, -1024.0, 0.55, 1.25, 0.15, 0.2, 35.0,
         (4.0, 98.0), 1, "LINEAR", 0.035, True, "LL"),
    Site("hill", "Brightline Medical", "Nova DR", "DX", "MONOCHROME2", 14, 0.5, 0.0, 1.3, 0.7, 0.8, 0.9, 15.0,
         (1.0, 98.5), 3, "SIGMOID", 0.015, False, "LATERAL"),
    Site("ward", "Corvane", "Mobile 3", "DX", "MONOCHROME2", 16, 2.0, -500.0, 0.4, 1.5, 0.35, 0.35, 28.0,
         (4.0, 97.5), 1, "LINEAR", 0.05, True, "LL"),
)  # fmt: skip
