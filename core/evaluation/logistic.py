"""Logistic regression for all labels at once, over a path of L2 strengths, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from core.data.types import Floats

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class LogisticModel:
    """weight: [D, L], bias: [L], float64; a label that could not be fitted has NaN in both."""

    weight: Doubles
    bias: Doubles

    def probabilities(self, x: Any) -> Floats:
        """Probabilities [n, L] float32 of features [n, D]; NaN for a label that could not be fitted."""
        return sigmoid(np.asarray(x, np.float64) @ self.weight + self.bias)


def sigmoid(logits: Any) -> Floats:
    """Probabilities float32 of logits of any shape; keeps tiny ones apart, so that they do not tie."""
    shrunk = np.exp(-np.abs(np.asarray(logits, np.float64)))
    found: Floats = (np.where(np.asarray(logits) >= 0, 1.0, shrunk) / (1.0 + shrunk)).astype(np.float32)
    return found


def fittable(y: Any) -> NDArray[np.bool_]:
    """[L] bool: which columns of labels [n, L] (1, 0, NaN = left out) hold both classes."""
    found: NDArray[np.bool_] = (y == 1).any(axis=0) & (y == 0).any(axis=0)
    return found


def fit_path(
    x: Any, y: Any, strengths: Sequence[float], tolerance: float = 1e-3, device: str = "cpu"
) -> list[LogisticModel]:
    """One model per inverse L2 strength C in `strengths`, each warm-started from the one before.

    x: [n, D] features, best standardised. y: [n, L] 1, 0, NaN = left out of that label's loss. A label's loss is
    C * sum of log losses + |w|^2 / 2, the bias unpenalised, as in scikit-learn's LogisticRegression. `tolerance`
    bounds the gradient in coordinates where the Hessian is near the identity: the log-likelihood is then
    within about tolerance^2 of its optimum. Labels with one class only are not fitted.
    """
    y = np.asarray(y, np.float64)
    keep = fittable(y)
    if not keep.any():
        return [_model(np.zeros((x.shape[1], 0)), np.zeros(0), keep) for _ in strengths]
    problem = _Problem(np.asarray(x, np.float64), y[:, keep], device)
    return [_model(*problem.solve(1.0 / c, tolerance), keep) for c in strengths]


def _model(weight: Doubles, bias: Doubles, keep: NDArray[np.bool_]) -> LogisticModel:
    all_weights, all_biases = np.full((len(weight), len(keep)), np.nan), np.full(len(keep), np.nan)
    all_weights[:, keep], all_biases[keep] = weight, bias
    return LogisticModel(all_weights, all_biases)


class _Problem:
    """The shared part of a path: x turned into its principal axes, where the Hessian is nearly diagonal.

    With v = p (1 - p) of a label's base rate, the Hessian along axis d is about v s_d^2 + 1 / C. Dividing each
    coordinate by its root makes L-BFGS converge in some 20 passes at any strength and any spectrum.
    """

    def __init__(self, x: Doubles, y: Doubles, device: str) -> None:
        self.squares, self.axes = _principal_axes(x)
        self.z = torch.from_numpy(x @ self.axes).to(device)
        known = ~np.isnan(y)
        self.known = torch.from_numpy(known.astype(np.float64)).to(device)
        self.y = torch.from_numpy(np.where(known, y, 0.0)).to(device)
        rate = np.nansum(y, axis=0) / known.sum(axis=0)
        self.curvature = rate * (1 - rate) * known.mean(axis=0)
        self.weight = np.zeros((self.axes.shape[1], y.shape[1]))
        self.bias = np.log(rate / (1 - rate))

    def solve(self, penalty: float, tolerance: float) -> tuple[Doubles, Doubles]:
        """Weights [D, L] and biases [L] at `penalty` = 1 / C, starting from the last solution."""
        slopes = np.sqrt(self.curvature * self.squares[:, None] + penalty)
        offsets = np.sqrt(self.curvature * len(self.z))
        scale = torch.from_numpy(np.vstack([slopes, offsets])).to(self.z)
        start = torch.from_numpy(np.vstack([self.weight, self.bias])).to(self.z)
        solution = (_minimise(lambda t: self._loss(t, scale, penalty), start * scale, tolerance) / scale).cpu().numpy()
        self.weight, self.bias = solution[:-1], solution[-1]
        return self.axes @ self.weight, self.bias

    def _loss(self, scaled: Tensor, scale: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        # Loss and gradient written out: autograd takes twice as long on problems as small as these.
        theta = scaled / scale
        weight = theta[:-1]
        logits = torch.addmm(theta[-1], self.z, weight)
        loss = binary_cross_entropy_with_logits(logits, self.y, self.known, reduction="sum")
        residual = (torch.sigmoid(logits) - self.y) * self.known
        slope = torch.addmm(weight, self.z.T, residual, beta=penalty)
        gradient = torch.cat([slope, residual.sum(dim=0, keepdim=True)]) / scale
        return loss + 0.5 * penalty * torch.linalg.vector_norm(weight) ** 2, gradient


def _principal_axes(x: Doubles) -> tuple[Doubles, Doubles]:
    # Squared singular values [R] and right singular vectors [D, R], R = min(n, D). The optimum lies in their span.
    if len(x) < x.shape[1]:
        _, values, rows = np.linalg.svd(x, full_matrices=False)
        return values**2, rows.T
    squares, axes = np.linalg.eigh(x.T @ x)
    return np.maximum(squares, 0.0), axes


def _minimise(loss: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, tolerance: float) -> Tensor:
    theta = start.clone()
    optimiser = torch.optim.LBFGS(
        [theta],
        max_iter=1000,
        max_eval=2000,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        value, theta.grad = loss(theta)
        return value

    optimiser.step(closure)  # type: ignore[arg-type, no-untyped-call]
    return theta
