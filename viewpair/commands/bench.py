"""viewpair bench: time parts of the work (step, loaders, report, ...), or put statistics and curation to the test."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from core.config import TrialConfig

LINE = "time parts of the work (step, loaders, report, ...), or put statistics, curation or decoders to the test"
PRIMARY = "trial"
EXAMPLES = (
    "bench step",
    "bench step model=base data.size=224 train.batch_size=128 runtime.compile=true --json step.json",
    "bench decoder model=base data.size=224 train.batch_size=16 method.mask_ratio=0.75",
    "bench loader data.patients=200",
    "bench scale train.batch_size=256",
    "bench build data.size=224 --repeat 3",
    "bench phantom --repeat 3",
    "bench engines model=base data.size=224 train.batch_size=64",
    "bench statistics --simulations 500",
    "bench curation --repeat 3",
    "bench fuzz --files 10000",
    "bench ledger --trials 10000 paths.root=/scratch/outputs",
    "bench report --trials 10000 paths.root=/scratch/outputs",
)
ACTIONS = {
    "step": "one optimiser step: images per second, MFU, memory",
    "decoder": "the step with each decoder of a masked autoencoder: what CrossMAE's saves, in FLOPs and in time",
    "loader": "reading batches beside a DataLoader, torchxrayvision and memcpy: images per second, seconds waited",
    "scale": "a simulated data set of MIMIC-CXR's size: seconds to open and to draw an epoch, memory",
    "build": "building from made DICOM, PNG and JPEG files: images per second beside the decoders alone",
    "phantom": "rendering the phantom: milliseconds a study on one core",
    "engines": "DDP and ZeRO 0-3 on several processes: seconds per step and in communication, memory",
    "ledger": "listing finished trials on the disk of paths.root: milliseconds per thousand",
    "report": "a report of many made trials: seconds and peak memory",
    "statistics": "coverage of the intervals and false alarms of the tests, simulated",
    "curation": "how even a lop-sided plane becomes, beside the published figures; --repeat is the number of seeds",
    "fuzz": "damaged DICOM, PNG and JPEG files: decoded, quarantined, or worse",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--repeat", type=int, default=10, help="timed repetitions; the median counts (default 10)")
    parser.add_argument("--simulations", type=int, default=2000, help="of each setting, for statistics (default 2000)")
    parser.add_argument(
        "--trials", type=int, default=10_000, help="trials of `bench ledger` and `bench report` (default 10000)"
    )
    parser.add_argument("--files", type=int, default=10_000, help="files of `bench fuzz` (default 10000)")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Print a table of the benchmark's rows."""
    from tabulate import tabulate

    from core.compose import to_trial
    from core.errors import check_range
    from core.io import write_json

    check_range("--repeat", arguments.repeat, 1, 10_000)
    check_range("--trials", arguments.trials, 1, 1_000_000)
    check_range("--files", arguments.files, 1, 100_000_000)
    check_range("--simulations", arguments.simulations, 1, 1_000_000)
    rows = measure(to_trial(config), arguments)
    print(tabulate([shown(row) for row in rows], headers="keys", floatfmt=".4g"))
    if arguments.json:
        write_json(arguments.json, rows)
        print(f"\nwritten: {arguments.json}")
    return 0


def measure(trial: TrialConfig, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one benchmark."""
    if arguments.action == "step":
        from core.bench.step import bench_step

        return bench_step(trial, arguments.repeat)
    if arguments.action == "decoder":
        from core.bench.decoder import bench_decoder

        return bench_decoder(trial, arguments.repeat)
    if arguments.action == "build":
        from core.bench.build import bench_build

        return bench_build(trial, arguments.repeat)
    if arguments.action == "phantom":
        from core.bench.phantom import bench_phantom

        return bench_phantom(trial, arguments.repeat)
    if arguments.action == "scale":
        from core.bench.scale import bench_scale

        return bench_scale(trial)
    if arguments.action == "engines":
        from core.bench.engines import bench_engines

        return bench_engines(trial, arguments.repeat)
    if arguments.action == "ledger":
        from sweeps.bench_ledger import bench_ledger

        return bench_ledger(trial, arguments.trials, arguments.repeat)
    if arguments.action == "report":
        from analysis.bench_report import Size, bench_report

        return bench_report(trial, Size(arguments.trials))
    if arguments.action == "statistics":
        from analysis.simulate import bench_statistics

        return list(bench_statistics(arguments.simulations))
    if arguments.action == "curation":
        from core.bench.curation import bench_curation

        return bench_curation(arguments.repeat)
    if arguments.action == "fuzz":
        from core.bench.fuzz import bench_fuzz

        return bench_fuzz(arguments.files, trial.seed)
    from core.bench.loader import bench_loader

    return bench_loader(trial)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it: memory in MiB."""
    return {
        name.replace("_bytes", "_mib"): value / 2**20 if name.endswith("_bytes") else value
        for name, value in row.items()
    }
