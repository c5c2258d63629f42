"""viewpair train: pre-train one trial."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from omegaconf import DictConfig

LINE = "train one trial; goes on where it was when it was interrupted"
PRIMARY = "trial"
EXAMPLES = (
    "train method=mvmae method.mask_ratio=0.9 data=phantom",
    "train method=vicreg pairing=same_study seed=1",
    "train method=supervised method.label_fraction=0.1",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this verb."""
    parser.add_argument("--folder", type=Path, help="where the trial is written (default: <root>/trials/<id>)")


def run(config: DictConfig, arguments: argparse.Namespace) -> int:
    """Train, holding the trial's lease, and print where it lies."""
    from core.compose import to_trial
    from core.data.build import prepare
    from core.errors import require
    from core.identity import trial_id
    from core.measures.base import QUALITY
    from core.progress import Progress
    from core.trainer import plan, train
    from sweeps.lease import hold

    trial = to_trial(config)
    require(
        trial.measure.name == QUALITY,
        f"measure={trial.measure.name} does not train a trial to its end",
        "measure it as a cell of an ablation, by viewpair sweep",
    )
    store = prepare(trial.data, Path(trial.paths.root))
    folder = arguments.folder or Path(trial.paths.root) / "trials" / trial_id(trial)
    # Under torchrun only the first process speaks and owns the folder; the others follow it.
    if int(os.environ.get("RANK", "0")) > 0:
        train(trial, store, folder)
        return 0
    total = plan(trial, store.splits["train"]).total
    with hold(folder), Progress(f"training {trial.method.name}", total, unit="steps") as progress:
        train(trial, store, folder, on_step=lambda step, _: progress.advance(step - progress.done))
    print(f"trained: {folder}\nnext: viewpair evaluate --trial {folder}")
    return 0
