"""The figure of a curation: how many points each cluster has, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.plots.base import METHOD_COLOURS, MUTED, Drawn, footer, look, new_figure, plain_axes, save
from core.curation.balance import Balance, evenness

BEFORE, AFTER = MUTED, METHOD_COLOURS["mvmae"]


def draw_balance(found: Sequence[Balance], folder: Path) -> list[str]:
    """Write balance.png and balance.pdf into `folder`; returns their names."""
    with look():
        return save(figure_of(found), folder)


def figure_of(found: Sequence[Balance]) -> Drawn:
    """A panel a grouping: the share of each group, largest first, of all points and of those that were kept."""
    figure, panels = new_figure(0.6 + 2.1 * len(found), 2.4, 1, len(found))
    for panel, balance in zip(panels.flat, found, strict=True):
        _draw(panel, balance)
    panels[0, 0].set_ylabel("Share of the points, %")
    small = "groups in order of their size; evenness: entropy over that of equal shares, 1 = all of one size"
    footer(figure, small)
    return Drawn("balance", figure, f"Shares of groups before and after curation; {small}.")


def _draw(panel: Any, balance: Balance) -> None:
    number = int((balance.before > 0).sum())
    for label, counts, tone in (("all", balance.before, BEFORE), ("curated", balance.after, AFTER)):
        shares = 100 * np.sort(counts)[::-1][:number] / counts.sum()
        even = evenness(counts, number)
        panel.step(np.arange(number) + 1, shares, where="mid", color=tone, label=f"{label}, evenness {even:.2f}")
    panel.set_title(balance.name.replace("_", " "))
    panel.set_xlabel(f"{number} groups")
    panel.set_ylim(bottom=0)
    panel.legend(fontsize=6.5)
    plain_axes(panel)
