"""Streaming: the same shards read from end to end through webdataset, for data larger than the page cache.

The draw of pairs is the memory-mapped loader's, so an epoch shows the same images; only the order differs, since a
stream can be shuffled no further than its buffer. That order is computed from the index beforehand and every
sample is checked against it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from core.data.batches.base import ORDER_STREAM
from core.data.loader import Loader, pinned
from core.data.mapped import ShardPixels
from core.data.pairings.base import Pairs
from core.data.readahead import read_ahead
from core.data.remote import open_remote
from core.data.types import Bytes, Ints
from core.errors import DataError, require
from core.methods.base import ViewBatch

BUFFER = 1000
Sample = dict[str, Any]


class StreamLoader(Loader):
    """Batches of the same studies as `Loader`, in the order of a shuffled stream.

    Each rank reads every world_size-th shard, in an order drawn anew each epoch. Raises ConfigError for a pairing
    that needs other studies than the anchor, and where there are fewer shards than processes.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        require(
            self.pairing.within_study,
            "loader.backend=webdataset cannot form this pairing: it needs images of other studies",
            "use loader.backend=mmap, or a pairing within one study",
        )
        pixels = self.table.pixels
        require(isinstance(pixels, ShardPixels), "loader.backend=webdataset needs a data set that lies in shards")
        assert isinstance(pixels, ShardPixels)
        self.shards = pixels.shards
        first_image = self.table.start[:-1]
        self._shard_of_study, self._offset = pixels.shard[first_image], pixels.offset[first_image]
        shown = [len(rows) for rows in self.rows_of_ranks(self.pairs(0), 0)]
        require(
            min(shown) >= self.share,
            f"{len(np.unique(self._shard_of_study))} shards are too few for {self.world_size} processes",
            "set data.studies_per_shard lower, or use loader.backend=mmap",
        )
        self.steps_per_epoch = min(shown) // self.share

    def shard_order(self, rank: int, epoch: int) -> Ints:
        """Numbers of the shards that a rank reads in an epoch, in that order."""
        mine = np.unique(self._shard_of_study)[rank :: self.world_size]
        return np.random.default_rng([self.seed, epoch, ORDER_STREAM, rank]).permutation(mine)

    def rows_of_ranks(self, pairs: Pairs, epoch: int) -> list[Ints]:
        """For each rank, the rows of `pairs` in the order in which its stream will bring them."""
        row_of_study = np.full(self.table.n_studies, -1, dtype=np.int64)
        row_of_study[pairs.anchor] = np.arange(len(pairs.anchor))
        found = []
        for rank in range(self.world_size):
            in_shards = [self._studies(shard) for shard in self.shard_order(rank, epoch)]
            rows = row_of_study[np.concatenate(in_shards)] if in_shards else np.empty(0, dtype=np.int64)
            found.append(np.array(list(self._shuffle(iter(rows[rows >= 0].tolist()), epoch)), dtype=np.int64))
        return found

    def _studies(self, shard: int) -> Ints:
        """Study rows of one shard in the order in which they lie in it."""
        rows = np.flatnonzero(self._shard_of_study == shard)
        return rows[np.argsort(self._offset[rows])]

    def order(self, pairs: Pairs, epoch: int) -> Ints:
        """The order in which an epoch shows its rows of `pairs`: of each batch first rank 0's part, and so on."""
        used = self.steps_per_epoch * self.share
        parts = [rows[:used].reshape(-1, self.share) for rows in self.rows_of_ranks(pairs, epoch)]
        return np.stack(parts, axis=1).reshape(-1)

    def batches(self, start_step: int, stop_step: int) -> Iterator[ViewBatch]:
        """This rank's part of batches start_step to stop_step - 1; one thread reads the stream ahead."""
        with contextlib.closing(self._pictures(start_step)) as stream:
            make, prepare_thread = pinned(lambda step: self.batch(step, self._reader(stream)))
            yield from read_ahead(
                make,
                start_step,
                stop_step,
                workers=min(1, self.config.workers),
                prefetch=self.config.prefetch,
                prepare_thread=prepare_thread,
            )

    def _reader(self, stream: Iterator[tuple[int, Bytes]]) -> Callable[[Ints], Bytes]:
        """A reader of image rows that takes the next batch's studies from the stream."""

        def read(rows: Ints) -> Bytes:
            pictures = dict(itertools.islice(stream, self.share))
            study = np.searchsorted(self.table.start, rows, side="right") - 1
            return np.stack(
                [pictures[s][row - self.table.start[s]] for s, row in zip(study.tolist(), rows.tolist(), strict=True)]
            )

        return read

    def _pictures(self, start_step: int) -> Generator[tuple[int, Bytes], None, None]:
        """(study row, its images uint8 [V, H, W]) from a step on, over the epochs without end."""
        epoch, skipped = divmod(start_step, self.steps_per_epoch)
        while True:
            pairs = self.pairs(epoch)
            anchors = pairs.anchor[self.rows_of_ranks(pairs, epoch)[self.rank]][: self.steps_per_epoch * self.share]
            samples = self._samples(epoch, {str(name) for name in self.table.study_ids[pairs.anchor]})
            first = skipped * self.share
            samples = itertools.islice(samples, first, None)
            for study in anchors[first:].tolist():
                yield study, self._decode(next(samples, None), study)
            epoch, skipped = epoch + 1, 0

    def _samples(self, epoch: int, wanted: set[str]) -> Iterator[Sample]:
        """This rank's shuffled samples of the studies that are `wanted`."""
        paths = [self.shards[number] for number in self.shard_order(self.rank, epoch)]
        samples = _read_shards(paths, self.config.url)
        chosen = (s for s in samples if json.loads(s["meta.json"])["study_id"] in wanted)
        return self._shuffle(chosen, epoch)

    def _shuffle(self, items: Iterator[Any], epoch: int) -> Iterator[Any]:
        """Items through webdataset's shuffle buffer; the order depends on their number, the seed and the epoch."""
        seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        shuffled: Iterator[Any] = webdataset.detshuffle(bufsize=BUFFER, initial=BUFFER, seed=seed).run(items)
        return shuffled

    def _decode(self, sample: Sample | None, study: int) -> Bytes:
        """The images uint8 [V, H, W] of the sample that must be this study's."""
        name, count = str(self.table.study_ids[study]), int(self.table.start[study + 1] - self.table.start[study])
        if sample is None:
            raise _damaged(self.shards[0].parent, f"the shards end before study {name}")
        found = json.loads(sample["meta.json"])["study_id"]
        images: Bytes = np.load(io.BytesIO(sample["images.npy"]), allow_pickle=False)
        if found != name or len(images) != count:
            said = f"study {found} with {len(images)} images where the index has {name} with {count}"
            raise _damaged(sample["__url__"], said)
        return images


def _damaged(place: Path | str, what: str) -> DataError:
    return DataError(f"{place} is damaged: {what}", "run `viewpair data build` with the same settings to mend it")


def _read_shards(paths: list[Path], url: str) -> Iterator[Sample]:
    """The samples of shards, one shard after the other, as webdataset reads them; from `url` where there is one."""
    members = webdataset.tariterators.tar_file_expander(_opened(paths, url))
    samples = webdataset.tariterators.group_by_keys(members)
    try:
        for sample in samples:
            # webdataset takes a tar that is cut off for one that ends.
            if "meta.json" not in sample or "images.npy" not in sample:
                raise _damaged(sample["__url__"], f"sample {sample['__key__']} is not whole")
            yield sample
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(paths[0].parent, type(error).__name__) from error
    except DataError as error:
        # webdataset adds to the arguments of what passes through it.
        raise DataError(error.what, error.hint) from error


def _opened(paths: list[Path], url: str) -> Iterator[Sample]:
    """Opened shards. webdataset's own opener leaves files open, and runs a path that starts with pipe:."""
    for path in paths:
        place = f"{url.rstrip('/')}/{path.name}" if url else str(path)
        with open_remote(place) if url else path.open("rb") as stream:
            yield {"url": place, "stream": stream}
