"""Joint-embedding losses against loops written from the formulae in float64, against `lightly`, and by gradcheck."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

from core.losses.alignment import alignment, infonce
from core.losses.barlow_twins import barlow_twins_terms
from core.losses.byol import regression
from core.losses.dino import distillation, moved_centre, teacher_distribution
from core.losses.moco import momentum_contrast
from core.losses.vicreg import vicreg_terms, vicreg_total
from core.models.timm_import import import_timm
from tests.core.batches import make_batch

N, D = 6, 5
EXACT = {"rel": 1e-10}


@pytest.fixture(scope="module")
def lightly() -> ModuleType:
    """lightly's losses; it imports torchvision, which may need timm's import first."""
    import_timm()
    return pytest.importorskip("lightly.loss")


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cos(a: Tensor, b: Tensor) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def interleaved(x: Tensor, y: Tensor) -> Tensor:
    """Sides of pairs [n, d] as the packed images [2 n, d] of a batch of studies with two images each."""
    return torch.stack([x, y], dim=1).reshape(-1, x.shape[1])


def barlow_twins(x: Tensor, y: Tensor, weight: float = 0.005) -> Tensor:
    terms = barlow_twins_terms(x, y)
    return terms["invariance"] + weight * terms["redundancy"]


def dino(student: Tensor, teacher: Tensor, centre: Tensor, temperature: float = 0.05) -> Tensor:
    """The loss of two crops, each [n, K] in a stack [2, n, K]."""
    first, second = (teacher_distribution(crop, centre, temperature) for crop in teacher)
    n = (len(student[0]),)
    return (distillation(student[1], first, n, 0.1) + distillation(student[0], second, n, 0.1)) / 2


def test_nt_xent_against_lightly(lightly: ModuleType) -> None:
    x, y = rows(N, D, 0), rows(N, D, 1)
    for temperature in (0.1, 0.5):
        expected = lightly.NTXentLoss(temperature)(x, y)
        found = infonce(interleaved(x, y), make_batch([2] * N), temperature)
        assert float(found) == pytest.approx(float(expected), **EXACT)


def test_nt_xent_is_not_of_images_without_a_partner_but_has_them_as_negatives() -> None:
    u, batch, t = rows(5, D, 2), make_batch([2, 1, 2]), 0.1
    terms = []
    for i, j, others in ((0, 1, (2, 3, 4)), (1, 0, (2, 3, 4)), (3, 4, (0, 1, 2)), (4, 3, (0, 1, 2))):
        positive = math.exp(cos(u[i], u[j]) / t)
        terms.append(-math.log(positive / (positive + sum(math.exp(cos(u[i], u[k]) / t) for k in others))))
    assert float(infonce(u, batch, t)) == pytest.approx(sum(terms) / 4, **EXACT)


def test_momentum_contrast_is_scaled_infonce_among_other_studies_keys() -> None:
    query, key, t = rows(N, D, 3), rows(N, D, 4), 0.2
    study = torch.tensor([0, 1, 1, 1, 2, 3])
    terms = []
    for i in range(N):
        keys = [j for j in range(N) if j == i or study[j] != study[i]]
        terms.append(-math.log(softmax([cos(query[i], key[j]) / t for j in keys])[keys.index(i)]))
    found = momentum_contrast(query, key, study, (N,), t)
    assert float(found) == pytest.approx(2 * t * sum(terms) / N, **EXACT)


def test_byol_regression_is_two_minus_two_cosines(lightly: ModuleType) -> None:
    x, y = rows(N, D, 5), rows(N, D, 6)
    expected = sum(2 - 2 * cos(x[i], y[i]) for i in range(N)) / N
    assert float(regression(x, y, (N,))) == pytest.approx(expected, **EXACT)
    assert float(regression(x, y, (N,))) == pytest.approx(2 + 2 * float(lightly.NegativeCosineSimilarity()(x, y)))


def test_barlow_twins_against_a_loop_and_lightly(lightly: ModuleType) -> None:
    x, y = rows(N, D, 7), rows(N, D, 8)

    def column(z: Tensor, j: int) -> list[float]:
        values = [float(v) for v in z[:, j]]
        mean = sum(values) / N
        variance = sum((v - mean) ** 2 for v in values) / N
        return [(v - mean) / math.sqrt(variance + 1e-5) for v in values]

    invariance = redundancy = 0.0
    for i in range(D):
        for j in range(D):
            c = sum(a * b for a, b in zip(column(x, i), column(y, j), strict=True)) / N
            invariance += (1 - c) ** 2 if i == j else 0
            redundancy += c**2 if i != j else 0
    terms = barlow_twins_terms(x, y)
    assert float(terms["invariance"]) == pytest.approx(invariance, **EXACT)
    assert float(terms["redundancy"]) == pytest.approx(redundancy, **EXACT)
    assert float(barlow_twins(x, y)) == pytest.approx(float(lightly.BarlowTwinsLoss(0.005)(x, y)), **EXACT)


def test_vicreg_against_lightly(lightly: ModuleType) -> None:
    x, y = rows(N, D, 9), rows(N, D, 10)
    expected = lightly.VICRegLoss(lambda_param=25, mu_param=25, nu_param=1, eps=1e-4)(x, y)
    assert float(vicreg_total(vicreg_terms(x, y))) == pytest.approx(float(expected), **EXACT)


def test_dino_against_a_loop() -> None:
    student, teacher, centre = rows(2 * N, D, 11).view(2, N, D), rows(2 * N, D, 12).view(2, N, D), rows(1, D, 13)[0]
    total = 0.0
    for i in range(N):
        for mine, other in ((0, 1), (1, 0)):
            target = softmax([(float(t) - float(c)) / 0.05 for t, c in zip(teacher[other, i], centre, strict=True)])
            guess = softmax([float(s) / 0.1 for s in student[mine, i]])
            total -= sum(p * math.log(q) for p, q in zip(target, guess, strict=True))
    assert float(dino(student, teacher, centre)) == pytest.approx(total / N / 2, **EXACT)


def test_dino_and_its_centre_against_lightly_over_several_steps(lightly: ModuleType) -> None:
    theirs, centre = lightly.DINOLoss(D, student_temp=0.1, center_momentum=0.9), torch.zeros(D, dtype=torch.float64)
    for step in range(4):
        student, teacher = rows(2 * N, D, 20 + step).view(2, N, D), rows(2 * N, D, 30 + step).view(2, N, D)
        expected = theirs(list(teacher), list(student), teacher_temp=0.05)
        assert float(dino(student, teacher, centre)) == pytest.approx(float(expected), rel=1e-6)
        centre = moved_centre(centre, teacher.reshape(-1, D), 2 * N, 0.9)
        torch.testing.assert_close(centre, theirs.center.view(-1).double(), rtol=1e-6, atol=1e-8)


BATCH = make_batch([2, 1, 3])
STUDY = torch.tensor([0, 1, 1, 2, 3, 4])
TARGET, CENTRE = rows(N, D, 40), rows(1, D, 41)[0]
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "nt_xent": lambda x: infonce(x, BATCH, 0.1),
    "momentum_contrast": lambda x: momentum_contrast(x, TARGET, STUDY, (N,), 0.2),
    "regression": lambda x: regression(x, TARGET, (N,)),
    "barlow_twins": lambda x: barlow_twins(x, 0.5 * x.flip(0) + TARGET),
    "vicreg": lambda x: vicreg_total(vicreg_terms(x, TARGET)),
    "dino": lambda x: dino(x.view(2, -1, D), TARGET.view(2, -1, D), CENTRE),
    **{d: lambda x, d=d: alignment(d, x, BATCH, "sum", 0.5) for d in ("mse", "cosine", "mix")},
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name], (rows(N, D, 42).requires_grad_(),), eps=1e-6, atol=1e-6)


def test_no_gradient_reaches_targets_keys_and_teachers() -> None:
    x, y = rows(N, D, 43).requires_grad_(), rows(N, D, 44).requires_grad_()
    centre = torch.zeros(D, dtype=torch.float64)
    dino_loss = distillation(x, teacher_distribution(y, centre, 0.05), (N,), 0.1)
    for loss in (momentum_contrast(x, y, STUDY, (N,), 0.2), regression(x, y, (N,)), dino_loss):
        loss.backward()
        assert y.grad is None
        assert x.grad is not None


def test_perfect_embeddings_reach_the_closed_form_of_the_minimum() -> None:
    one_hot = torch.eye(4, dtype=torch.float64)
    assert float(regression(one_hot, 3 * one_hot, (4,))) == pytest.approx(0, abs=1e-12)
    expected = math.log(1 + 3 * math.exp(-1 / 0.2))
    contrast = momentum_contrast(one_hot, one_hot, torch.arange(4), (4,), 0.2)
    assert float(contrast) == pytest.approx(2 * 0.2 * expected, **EXACT)
    hadamard = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert float(barlow_twins(hadamard, hadamard)) == pytest.approx(0, abs=1e-8)
    zeros = torch.zeros(2, 3, D, dtype=torch.float64)
    assert float(dino(zeros, zeros, zeros[0, 0])) == pytest.approx(math.log(D), **EXACT)
