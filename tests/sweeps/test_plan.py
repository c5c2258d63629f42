"""A plan holds every trial, resolved and checked; its ids tell apart what differs and join what is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from core.compose import compose, start_hydra, trial_from_dict, trial_to_dict
from core.errors import ConfigError
from core.identity import trial_id
from sweeps.ablation import available
from sweeps.plan import Plan, make_plan, plans_for, preset_of, write_plan
from sweeps.run import all_trials


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    def make(text: str, *overrides: str, preset: str = "demo") -> Plan:
        path = tmp_path / "some.yaml"
        path.write_text("title: T\nquestion: Q\nseeds: [0, 1]\n" + text)
        return make_plan(str(path), overrides, preset)

    return make


def test_ids_are_distinct_and_the_same_in_another_process(plan: Plan, ablations: Path) -> None:
    ids = list(plan.trials())
    assert len(set(ids)) == len(ids) == 4
    code = (
        "import sys; from pathlib import Path; from sweeps.plan import make_plan;"
        "print(*make_plan('small', [], 'demo', Path(sys.argv[1])).trials())"
    )
    found = subprocess.run([sys.executable, "-c", code, str(ablations)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ids


def test_an_id_is_that_of_the_config_that_a_worker_reads(plan: Plan) -> None:
    for trial, config in plan.trials().items():
        saved = json.loads(json.dumps(trial_to_dict(config)))
        assert trial_id(trial_from_dict(saved)) == trial
        assert trial_from_dict(saved) == config


def test_axes_seeds_and_values_reach_the_configs(plan: Plan) -> None:
    found = [(c.method.mask_ratio, c.seed, c.train.batch_size, c.train.epochs) for c in plan.trials().values()]
    assert found == [(0.5, 0, 8, 1), (0.5, 1, 8, 1), (0.75, 0, 8, 1), (0.75, 1, 8, 1)]
    assert [cell.name for cell in plan.cells] == ["mvmae mask_ratio=0.5", "mvmae mask_ratio=0.75"]


def test_precedence_is_base_then_user_then_cell(planned: Callable[..., Plan]) -> None:
    text = (
        "base: [train.epochs=3, train.batch_size=16]\naxes: {method.weight: [1, 2]}\nbaselines: {b: {base: [seed=0]}}"
    )
    plan = planned(text.replace("seed=0", "train.epochs=0"), "train.epochs=5", "method.weight=9")
    first, second, baseline = [cell.trials[0].config for cell in plan.cells]
    assert (first.train.epochs, second.train.epochs, baseline.train.epochs) == (5, 5, 0)
    assert (first.method.weight, second.method.weight, baseline.method.weight) == (1, 2, 9)
    assert first.train.batch_size == 16


def test_the_seeds_of_the_command_line_win(planned: Callable[..., Plan]) -> None:
    plan = planned("base: []\naxes: {pairing: [none]}", "seeds=[7,8,9]", "launcher.processes=2", "ablation=some")
    assert [c.seed for c in plan.trials().values()] == [7, 8, 9]
    assert plan.overrides == ()
    for wrong, message in (("seeds=[]", "no seeds"), ("seeds=[1,1]", "twice"), ("seed=3", r"write seeds=\[0,1\]")):
        with pytest.raises(ConfigError, match=message):
            planned("base: []\naxes: {pairing: [none]}", wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes: {method.mask_ratio: [0.5, 1.5]}", r"cell method.mask_ratio=1.5: method.mask_ratio=1.5 is outside \(0"),
        ("axes: {method.mask_rato: [0.5]}", r"no key 'method.mask_rato'\n.*mean method.mask_ratio"),
        ("axes: {pairing: [same_study, same_studdy]}", r"cell pairing=same_studdy: .*\n.*same_study"),
        ("axes: {train.epochs: [many]}", "cell train.epochs=many: train.epochs=many"),
        ("baselines: {low: {base: [method=mea]}}", r"baseline low: method=mea: .*\n.*mae\?"),
        ("axes: {data.size: [64, 65]}", "cell data.size=65: model.patch=8 does not divide data.size=65"),
        ("axes: {loader.workers: [0, 1]}", "hold the same trial"),
        ("axes: {evaluation.pool: [cls, mean]}", "hold the same trial|differ in their evaluation"),
        ("axes: {method.weight: [1]}\nbaselines: {b: {base: [evaluation.pool=mean]}}", "same trial|differ"),
    ],
)
def test_an_invalid_cell_is_refused_and_named(planned: Callable[..., Plan], text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)ablation some.*({message})"):
        planned(f"base: []\n{text}")


def test_over_gives_a_row_several_trials(planned: Callable[..., Plan]) -> None:
    row = "s: {base: [method=supervised], over: {method.label_fraction: [0.1, 1.0]}, evaluation: head}"
    (cell,) = planned(f"base: []\nbaselines: {{{row}}}").cells
    assert [(t.values["method.label_fraction"], t.config.seed) for t in cell.trials] == [
        (0.1, 0),
        (0.1, 1),
        (1.0, 0),
        (1.0, 1),
    ]
    assert all(t.config.method.label_fraction == t.values["method.label_fraction"] for t in cell.trials)
    assert (cell.role, cell.evaluation, cell.method, cell.name) == ("baseline", "head", "supervised", "s")


def test_plan_json_says_what_the_report_needs(plan: Plan, tmp_path: Path) -> None:
    path = write_plan(tmp_path, plan)
    saved = json.loads(path.read_text())
    assert path == tmp_path / "sweeps" / "small" / "plan.json"
    assert saved["axes"] == {"method.mask_ratio": [0.5, 0.75]}
    assert [t["id"] for cell in saved["cells"] for t in cell["trials"]] == list(plan.trials())
    assert saved["cells"][1]["values"] == {"method.mask_ratio": 0.75}
    assert (saved["preset"], saved["seeds"], saved["draw"]) == ("demo", [0, 1], ["curve"])


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_the_four_ablations_resolve_and_share_trials(preset: str) -> None:
    plans = plans_for("all", [f"preset={preset}"])
    trials = all_trials(plans)
    assert [plan.ablation.name for plan in plans] == available()
    assert len(trials) < sum(len(plan.trials()) for plan in plans)
    assert all(plan.preset == preset for plan in plans)
    by_name = {plan.ablation.name: plan for plan in plans}
    shared = set(by_name["masking_ratio"].trials()) & set(by_name["alignment_weight"].trials())
    assert {trials[t].method.weight for t in shared} == {0.1}
    if preset == "paper":
        sizes = {(c.model.width, c.model.depth, c.data.size, c.model.patch) for c in trials.values()}
        assert sizes == {(768, 12, 224, 16)}
        assert all(len(plan.seeds) >= 3 for plan in plans)


def test_the_preset_is_the_last_that_is_named() -> None:
    assert preset_of([]) == "quick"
    assert preset_of(["preset=paper", "seeds=[0]"]) == "paper"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method=mae", "train.epochs=3"],
        ["train.epochs=3", "method=vicreg", "pairing=random", "preset=paper"],
        ["method=mvmae", "method=supervised", "optim.base_lr=1e-3"],
        ["data.labels=[Edema,'Pleural Effusion']", "augment.crop_scale=[0.2,1.0]", "evaluation.run=[probe]"],
    ],
)
def test_shared_compositions_equal_hydras_own(overrides: list[str]) -> None:
    start_hydra()
    assert OmegaConf.to_yaml(compose(overrides)) == OmegaConf.to_yaml(hydra_compose("trial", overrides=overrides))


def test_sweep_composes_the_same_trial() -> None:
    from sweeps.config import register

    register()
    sweep, trial = compose(["method=mae"], "sweep"), compose(["method=mae"])
    assert {k: v for k, v in sweep.items() if k in trial} == dict(trial)
    assert set(sweep) - set(trial) == {"ablation", "launcher", "seeds"}
