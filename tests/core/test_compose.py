"""Config groups and their options, as a user may choose them."""

from __future__ import annotations

from hydra.core.global_hydra import GlobalHydra

from core.compose import HIDDEN_GROUPS, group_names, options
from sweeps.config import register


def test_groups_and_options_are_those_that_hydra_would_find() -> None:
    for begin in (lambda: None, register):
        begin()
        known = options()
        loader = GlobalHydra.instance().config_loader()
        assert group_names() == sorted(loader.list_groups(""))
        assert known == {g: sorted(set(loader.get_group_options(g))) for g in group_names() if g not in HIDDEN_GROUPS}
    assert {"local", "slurm"} <= set(known["launcher"])
