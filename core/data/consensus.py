"""What several readers agree on: boxes of one finding that overlap, fused into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.regions import CORNERS

CONSENSUS = "consensus"
Boxes = NDArray[np.float64]


def iou(box: Boxes, others: Boxes) -> Boxes:
    """Intersection over union of a box [4] with others [N, 4], all x0, y0, x1, y1: [N]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(shared / ((box[2:] - box[:2]).prod() + areas - shared))


def fuse(boxes: Boxes, readers: Sequence[str], threshold: float, agree: int) -> Boxes:
    """The boxes [M, 4] that at least `agree` of the readers drew, of boxes [N, 4] of one finding and image.

    Weighted boxes fusion with equal weights (Solovyev et al. 2021, arXiv 1910.13302, section 3): in the order given,
    a box joins the cluster whose mean it overlaps most, if by more than `threshold`, else it opens one. A cluster's
    box is the mean of each reader's mean, so that a reader who drew two counts once.
    """
    clusters: list[list[int]] = []
    fused = np.empty((0, 4))
    for number, box in enumerate(boxes):
        overlap = iou(box, fused)
        if len(overlap) and overlap.max() > threshold:
            place = int(overlap.argmax())
            clusters[place].append(number)
            fused[place] = _mean(boxes, readers, clusters[place])
        else:
            clusters.append([number])
            fused = np.vstack([fused, box])
    agreed = [len({readers[number] for number in cluster}) >= agree for cluster in clusters]
    return fused[np.array(agreed, dtype=bool)]


def _mean(boxes: Boxes, readers: Sequence[str], cluster: list[int]) -> Boxes:
    by_reader: dict[str, list[Boxes]] = {}
    for number in cluster:
        by_reader.setdefault(readers[number], []).append(boxes[number])
    return np.asarray(np.mean([np.mean(own, axis=0) for own in by_reader.values()], axis=0))


def consensus(regions: pd.DataFrame, threshold: float, agree: int) -> pd.DataFrame:
    """The regions that readers agree on, as rows with reader "consensus"; `regions` as in `core.data.regions`.

    The order of the rows does not matter. Masks are not fused.
    """
    ordered = regions.sort_values(["image_id", "label", "reader", *CORNERS], kind="stable").reset_index(drop=True)
    corners, readers = ordered[list(CORNERS)].to_numpy(dtype=np.float64), ordered["reader"].to_numpy(dtype=str)
    rows: list[int] = []
    agreed: list[Boxes] = []
    for places in ordered.groupby(["image_id", "label"], sort=True).indices.values():
        fused = fuse(corners[places], list(readers[places]), threshold, agree)
        rows += [int(places[0])] * len(fused)
        agreed.append(fused)
    found = ordered.iloc[rows].reset_index(drop=True).assign(reader=CONSENSUS)
    found[list(CORNERS)] = np.concatenate([np.empty((0, 4)), *agreed])
    return found


def votes(images: pd.Series, findings: pd.Series, readers: pd.Series) -> pd.DataFrame:
    """How many readers name each finding of each image: a row per image, a column per finding, int."""
    named = pd.DataFrame({"image": images, "finding": findings, "reader": readers}).drop_duplicates()
    return named.groupby(["image", "finding"], sort=False).size().unstack(fill_value=0)


def judged(counts: pd.Series, agree: int) -> pd.Series:
    """Votes as labels: 1 where at least `agree` readers name a finding, -1 (uncertain) where fewer do, 0 where none."""
    return counts.map(lambda n: 1.0 if n >= agree else -1.0 if n > 0 else 0.0).astype("float32")
