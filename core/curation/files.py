"""Curation of embeddings that lie somewhere: a tree, cluster ids and a subset as files in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.curation.balance import Balance, balances
from core.curation.embeddings import Embeddings
from core.curation.kinds.tree import TreeConfig
from core.curation.sampling import sample
from core.curation.tree import Tree, build_tree
from core.data.types import Floats, Ints, Strings
from core.io import atomic_path, canonical_hash, write_json

CLUSTERS, SUBSET, SUMMARY = "clusters.parquet", "subset.parquet", "curation.json"


@dataclass(frozen=True)
class Source:
    """What is curated. groups: name -> [N] int64, groups that are known of each point, for the balance."""

    embeddings: Embeddings
    groups: Mapping[str, Ints] = field(default_factory=dict)


def curation_folder(root: Path, source: str, config: TreeConfig, seed: int) -> Path:
    """root/curations/<hash of what the tree depends on>. source: a hash of the embeddings.

    What is drawn from a tree has no part in it: another subset of the same tree takes seconds.
    """
    return root / "curations" / canonical_hash({"source": source, "tree": asdict(config.settings(seed))})


def curate_files(source: Source, config: TreeConfig, seed: int, folder: Path) -> list[Balance]:
    """Build the tree (finished levels are kept), draw the subset, write both; returns the balance.

    clusters.parquet: a row a point with its id, its cluster on every level, `distance` (squared L2) to its finest
    cluster's centroid and whether it is `kept`. subset.parquet: the ids that are kept.
    """
    points, ids = source.embeddings.points, source.embeddings.ids
    tree = build_tree(points, config.settings(seed), folder)
    count = max(1, round(config.keep * len(points)))
    kept = sample(tree, count, np.random.default_rng([seed, 0, count]), config.draw)
    levels = {f"level_{level}": tree.labels(level) for level in range(1, tree.depth + 1)}
    found = balances({**levels, **source.groups}, kept)
    _write(folder, source.embeddings.id_name, ids, tree, levels, kept)
    write_json(folder / SUMMARY, {"points": len(points), "kept": len(kept), "curation": asdict(config), "seed": seed})
    return found


def _write(folder: Path, name: str, ids: Strings, tree: Tree, levels: Mapping[str, Ints], kept: Ints) -> None:
    chosen = np.zeros(len(ids), np.bool_)
    chosen[kept] = True
    with atomic_path(folder / CLUSTERS) as temporary:
        columns = {name: ids, **levels, "distance": tree.distance, "kept": chosen}
        pd.DataFrame(columns).to_parquet(temporary, index=False)
    with atomic_path(folder / SUBSET) as temporary:
        pd.DataFrame({name: ids[kept]}).to_parquet(temporary, index=False)


def write_embeddings(path: Path, ids: Strings, embeddings: Floats) -> None:
    """A Parquet table of study_id and embedding [S, D], as curation.embeddings and viewpair curate read it."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    with atomic_path(path) as temporary:
        pq.write_table(pa.table({"study_id": pa.array(ids.tolist()), "embedding": lists}), temporary)
