"""How often the intervals hold what they should, and how often the tests cry wolf, in results with a known truth.

A study's score for a label is strength * truth + noise of variance 1, so that the label's AUROC is
Phi(strength / sqrt(2)). Strengths vary between seeds; noise belongs in part to the patient, to the study and to the
seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.delong import delong
from analysis.hypotheses import p_equivalent, p_unequal, sign_flip
from analysis.resample import INTERVALS, BootstrapConfig, Doubles, Resampler, TestStudies
from analysis.statistics import SeedResamples, differences, estimate, moderated

ALPHA = 0.05


@dataclass(frozen=True)
class Setting:
    """What is simulated: a table of equally good rows.

    deviation: of the strength between seeds. own: share of the noise that is each seed's own; the rest is shared by all
    seeds, half of it by all studies of a patient. uneven: deviation, between rows, of the logarithm of `deviation`.
    """

    patients: int = 100
    seeds: int = 3
    deviation: float = 0.1
    own: float = 0.3
    labels: int = 2
    strength: float = 1.0
    rows: int = 2
    uneven: float = 0.0

    @property
    def auroc(self) -> float:
        """The true AUROC, over all seeds and patients there could be."""
        from scipy.special import ndtr

        return float(ndtr(self.strength / math.sqrt(2 + self.deviation**2)))


SETTINGS = (
    Setting(seeds=1, deviation=0.0),
    Setting(patients=250, seeds=1, deviation=0.0),
    Setting(seeds=3, deviation=0.0, own=0.1),
    Setting(seeds=3, deviation=0.15),
    Setting(seeds=3, deviation=0.5),
    Setting(seeds=5, deviation=0.15),
    Setting(seeds=10, deviation=0.15),
    Setting(patients=60, seeds=3, deviation=0.15, strength=2.0),
    Setting(seeds=2, deviation=0.15, rows=6),
    Setting(seeds=3, deviation=0.15, rows=6, uneven=0.5),
)


@dataclass(frozen=True)
class World:
    """One simulated test set: studies, and the noise that every seed shares [S, L]."""

    studies: TestStudies
    shared: Doubles


def make_world(setting: Setting, rng: np.random.Generator) -> World:
    """Patients with one to three studies each."""
    patient = np.repeat(np.arange(setting.patients), rng.integers(1, 4, setting.patients)).astype(np.int64)
    truth = (rng.random((len(patient), setting.labels)) < 0.4).astype(np.float64)
    of_patient = rng.normal(size=(setting.patients, setting.labels))[patient]
    shared = np.sqrt((1 - setting.own) / 2) * (of_patient + rng.normal(size=truth.shape))
    names = tuple(f"L{i}" for i in range(setting.labels))
    return World(TestStudies(np.arange(len(patient)).astype(str), patient, names, truth), shared)


def make_scores(setting: Setting, world: World, rng: np.random.Generator) -> list[Doubles]:
    """Scores [1, S, L] of each seed of one row."""
    truth = world.studies.truth
    deviation = setting.deviation * math.exp(setting.uneven * rng.normal())
    found = []
    for _ in range(setting.seeds):
        strength = setting.strength + deviation * rng.normal()
        noise = world.shared + math.sqrt(setting.own) * rng.normal(size=truth.shape)
        found.append((strength * truth + noise)[None])
    return found


def resampled(resampler: Resampler, scores: list[Doubles]) -> SeedResamples:
    """The macro AUROC of a row's seeds in every resample."""
    return SeedResamples(tuple(range(len(scores))), np.stack([resampler.labels(s).macro for s in scores], axis=1))


def simulate(setting: Setting, rng: np.random.Generator, resamples: int = 1000) -> dict[str, bool]:
    """One simulated table: which intervals of its first two rows hold the truth, which tests are wrong."""
    world = make_world(setting, rng)
    config = BootstrapConfig(resamples, int(rng.integers(1 << 30)), interval="bca")
    resampler = Resampler(world.studies, config)
    scores = [make_scores(setting, world, rng) for _ in range(setting.rows)]
    rows = moderated({place: resampled(resampler, of_row) for place, of_row in enumerate(scores)})
    difference = differences(rows, rows[0])[1]
    found = _tests(difference, config)
    for kind in INTERVALS:
        found |= _intervals(setting, rows[0], difference, replace(config, interval=kind))
    # DeLong's test is of the trained models at hand: it has a true null only where seeds do not differ.
    return found if setting.deviation else found | _delong(world, scores)


def _delong(world: World, scores: list[list[Doubles]]) -> dict[str, bool]:
    first, second = (np.concatenate(of_row)[:, :, 0] for of_row in scores[:2])
    return {"delong": delong(world.studies.truth[:, 0], first, second, world.studies.patient).p < ALPHA}


def _intervals(
    setting: Setting, row: SeedResamples, difference: SeedResamples, config: BootstrapConfig
) -> dict[str, bool]:
    mean, apart = estimate(row, config), estimate(difference, config)
    return {
        f"{config.interval} covers": mean.low <= setting.auroc <= mean.high,
        f"{config.interval} difference covers": apart.low <= 0 <= apart.high,
    }


def _tests(difference: SeedResamples, config: BootstrapConfig) -> dict[str, bool]:
    draws = difference.over_seeds(config)[1:]
    margin = 0.02
    # A row that is better by exactly the margin: "equivalent" is then a false alarm.
    return {
        "bootstrap": p_unequal(draws) < ALPHA,
        "sign flip": sign_flip(difference.values[0]) < ALPHA,
        "equivalence": p_equivalent(draws + margin, margin) < ALPHA,
    }


def rates(setting: Setting, simulations: int, seed: int = 0, resamples: int = 1000) -> dict[str, float]:
    """Share of simulations in which each interval held the truth and each test was wrong."""
    rng = np.random.default_rng([0x51, seed])
    found = [simulate(setting, rng, resamples) for _ in range(simulations)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def bench_statistics(simulations: int) -> Iterator[dict[str, Any]]:
    """A row per setting: coverage of 95 % intervals and false alarms of tests at 5 %, in per cent."""
    for setting in SETTINGS:
        told = {name: getattr(setting, name) for name in ("patients", "seeds", "rows", "deviation", "own", "uneven")}
        found = rates(setting, simulations)
        yield told | {name: round(100 * share, 1) for name, share in found.items()}
