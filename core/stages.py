"""A trial's stages: one, or those of a curriculum, each a trial in a folder of its own below the whole one's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.checkpoint import saved_steps
from core.config import TrialConfig
from core.weights_file import MODEL_FILE

STAGES = "stages"


@dataclass(frozen=True)
class Stage:
    """One stage. config: its trial's. folder: the whole trial's for the last one. earlier: folders of those before."""

    config: TrialConfig
    folder: Path
    earlier: tuple[Path, ...]


def stages(config: TrialConfig, folder: Path) -> Iterator[Stage]:
    """The stages in their order; each may be asked for once the one before is trained, whose encoder it starts from."""
    sequence = config.method.in_sequence(config)
    earlier: tuple[Path, ...] = ()
    for number, trial in enumerate(sequence, 1):
        own = folder if number == len(sequence) else folder / STAGES / f"{number}-{trial.method.name}"
        start = replace(trial.init, path=str(earlier[-1])) if earlier else trial.init
        yield Stage(replace(trial, init=start), own, earlier)
        earlier = (*earlier, own)


def progress(folder: Path) -> str:
    """How far a trial's training has got, in words that change with every checkpoint and with every stage."""
    if (folder / MODEL_FILE).exists():
        return "trained"
    trained = sum((own / MODEL_FILE).exists() for own in (folder / STAGES).glob("*"))
    steps = [saved_steps(own / "checkpoints") for own in (folder, *(folder / STAGES).glob("*"))]
    step = max((found[-1] for found in steps if found), default=0)
    return f"stage {trained + 1}, step {step}" if trained else f"step {step}"
