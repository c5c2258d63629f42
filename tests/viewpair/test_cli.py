"""The command line: what a user's slip, an interrupt, a full disk and our own mistake print, and the exit codes."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from core.errors import DataError
from viewpair import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def viewpair(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[DictConfig], int]], None]:
    """Put a verb of our own in place of every verb."""

    def put(body: Callable[[DictConfig], int]) -> None:
        def run(config: DictConfig, _arguments: argparse.Namespace) -> int:
            return body(config)

        module = SimpleNamespace(LINE="a test", PRIMARY="trial", add_arguments=id, run=run)
        monkeypatch.setattr(cli, "load", {"try": module}.__getitem__)

    return put


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from viewpair.cli import main; assert main(['--help']) == 0;"
        "heavy = {'torch', 'timm', 'matplotlib', 'sklearn', 'scipy', 'pandas', 'submitit'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    for verb in cli.verbs():
        (line,) = [line for line in found.stdout.splitlines() if line.startswith(f"  {verb} ")]
        assert len(line.split(verb, 1)[1].strip()) > 10


def test_whatever_a_report_may_show_is_read_without_torch_and_pydicom() -> None:
    code = (
        "import sys, importlib, pkgutil, analysis.report, analysis.kinds as kinds, analysis.plots as plots\n"
        "for package in (kinds, plots):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "heavy = {'torch', 'pydicom'} & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_no_film_is_thought_of_before_one_is_read() -> None:
    code = (
        "import sys; from viewpair.cli import main; main(['sweep', '--cfg', 'job']); sys.exit('pydicom' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "method:" in found.stdout


def test_every_verb_has_what_the_command_line_needs() -> None:
    for verb in cli.verbs():
        module = cli.load(verb)
        assert module.PRIMARY in ("trial", "sweep", "results")
        assert "\n" not in module.LINE
        for line in getattr(module, "EXAMPLES", ()):
            assert line.split()[0] == verb


LOOKING = [verb for verb in cli.verbs() if cli.load(verb).PRIMARY == "results"]


@pytest.mark.parametrize("verb", LOOKING)
def test_help_of_a_verb_that_looks_at_results_shows_no_setting_of_training(verb: str, viewpair: Run) -> None:
    code, out, _ = viewpair(verb, "--help")
    assert code == 0
    assert f"usage: viewpair {verb}" in out
    keys = out[out.index("\nkeys:") :].split("\n")[2:]
    assert [line.strip().split("=")[0] for line in keys if line] == ["ablation", "paths.root"]
    assert "groups" not in out


def test_status_tells_of_a_build_without_what_builds_and_trains(tmp_path: Path) -> None:
    build, squeue = tmp_path / "runs" / "build-nih-1", tmp_path / "bin" / "squeue"
    for folder in (build, squeue.parent, tmp_path / "nih"):
        folder.mkdir(parents=True)
    order = {"data": {"name": "nih"}, "target": str(tmp_path / "nih"), "ranges": [["a", "b"], ["c"]], "launcher": {}}
    (build / "build.json").write_text(json.dumps(order))
    (tmp_path / "nih" / "a.json").write_text("{}")
    jobs = ("7_0|0|RUNNING|None|n1|viewpair.build-nih-1.ranges", "8|N/A|PENDING|Dependency||viewpair.build-nih-1.merge")
    squeue.write_text("#!/bin/sh\n" + "".join(f"echo '{job}'\n" for job in jobs))
    squeue.chmod(0o755)
    code = (
        "import sys; from viewpair.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'timm', 'pydicom'} & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "status", f"paths.root={tmp_path}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{squeue.parent}:{os.environ['PATH']}"},
    )
    assert found.returncode == 0, found.stderr
    assert "building nih: 1 of 3 shards written, 1 tasks run and 1 wait; jobs 7, 8" in found.stdout


@pytest.mark.parametrize("words", ["status", "cancel", "claims", "report", "compare 5f0c1a 99ab07"])
def test_a_verb_that_looks_at_results_imports_nothing_that_trains(words: str, tmp_path: Path) -> None:
    code = (
        "import sys; from viewpair.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'timm', 'deepspeed'} & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    folder = tmp_path / "sweeps" / "pairing"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{")
    found = subprocess.run(
        [sys.executable, "-c", code, *words.split(), f"paths.root={tmp_path}"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "plan.json" in found.stderr


@pytest.mark.parametrize("verb", sorted({*cli.verbs()} - {*LOOKING}))
def test_a_verbs_help_shows_groups_keys_and_their_lines(verb: str, viewpair: Run) -> None:
    code, out, _ = viewpair(verb, "--help")
    assert code == 0
    assert f"usage: viewpair {verb}" in out
    assert "mvmae" in out
    (line,) = [line for line in out.splitlines() if line.strip().startswith("train.epochs=")]
    assert "passes over the training studies" in line


def test_help_shows_the_keys_of_the_method_that_is_named(viewpair: Run) -> None:
    assert "method.label_fraction" not in viewpair("sweep", "--help")[1]
    assert "method.label_fraction" in viewpair("sweep", "method=supervised", "--help")[1]


def test_cfg_job_prints_the_resolved_config_as_yaml(viewpair: Run) -> None:
    code, out, _ = viewpair("sweep", "--cfg", "job", "method.mask_ratio=0.9", "ablation=pairing", "train.epochs=3")
    config = OmegaConf.create(out)
    assert code == 0
    assert (config.method.mask_ratio, config.ablation, config.train.epochs) == (0.9, "pairing", 3)
    assert config.launcher.name == "local"


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ("swep", "no verb 'swep'", "did you mean sweep?"),
        ("status method=mae", "there is no key 'method'", "possible: ablation, paths"),
        ("claims paths.rot=out", "there is no key 'paths.rot'", "did you mean paths.root?"),
        ("report ablation=a,b", "gives several values", "ablation=[a,b]"),
        ("report ablation=[a", "no viable alternative", "for instance"),
        ("sweep --dryrun", "no flag --dryrun", "did you mean --dry-run?"),
        ("sweep --cfg jobs", "jobs", "sweep --help"),
        ("sweep ablation=paring", "ablation=paring does not exist", "did you mean pairing?"),
        ("sweep ablation=[pairing,bselines]", "ablation=bselines does not exist", "did you mean baselines?"),
        ("sweep", "ablation= is not given", "pairing"),
        ("sweep ablation=pairing seed=1", "several seeds", "seeds=[0,1]"),
        ("sweep ablation=pairing seeds=[]", "there are no seeds", "[0, 1, 2]"),
        ("sweep launcher=locl", "launcher has no option 'locl'", "did you mean local?"),
        ("sweep launcher.proceses=2", "no key 'launcher.proceses'", "did you mean launcher.processes?"),
        ("sweep launcher.processes=-1", "launcher.processes=-1 is outside", "launcher.processes"),
        ("sweep data=phantm", "data has no option 'phantm'", "did you mean phantom or phantom_demo?"),
        ("sweep method=mvmea", "method has no option 'mvmea'", "did you mean mvmae"),
        ("sweep optim=5", "optim has no option '5'", "adamw"),
        ("sweep method=mae,mvmae", "several values", "choose one"),
        ("sweep method.mask_rato=0.5", "no key 'method.mask_rato'", "did you mean method.mask_ratio"),
        ("sweep mask_ratio=0.5", "no key 'mask_ratio'", "did you mean method.mask_ratio?"),
        ("sweep trian.epochs=5", "no key 'trian.epochs'", "did you mean train.epochs?"),
        ("sweep method.mask_ratio=0.5 method=vicreg", "no key 'method.mask_ratio'", "covariance, expander"),
        ("sweep method.mask_ratio=0,5", "gives several values", "method.mask_ratio=[0,5]"),
        ("sweep method.mask_ratio=1.5", "method.mask_ratio=1.5 is outside (0, 1)", "method.mask_ratio"),
        ("sweep method.distance=cosin", "method.distance=cosin is not a choice", "did you mean cosine?"),
        ("sweep train.epochs=many", "train.epochs=many: Value 'many'", "train.epochs=8 is right"),
        ("sweep train.epochs=1.5", "train.epochs=1.5: Value '1.5'", "train.epochs=8 is right"),
        ("sweep optim.base_lr=", "optim.base_lr=: Value ''", "is right, for instance"),
        ("sweep train=5", "train=5", "train.epochs"),
        ("sweep data.labels=[Edema", "data.labels=[Edema", "data.labels=[]"),
        ("sweep data.size=100", "model.patch=8 does not divide data.size=100", "divides"),
        ("sweep seed", "'seed' is not an override", "key=value"),
        ("sweep +foo=1", "keys cannot be added", "foo=1"),
        ("sweep ~seed", "keys cannot be deleted", "leave it out"),
        ("sweep hydra.run.dir=x", "settings of Hydra itself", "leave it out"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_right_word(words: str, what: str, hint: str, viewpair: Run) -> None:
    code, out, err = viewpair(*words.split())
    assert code == 2
    assert out == ""
    assert err.startswith("viewpair: ")
    first, _, rest = err.partition("\n")
    assert what in first
    assert hint in rest
    assert "Traceback" not in err


def test_a_slip_prints_no_traceback_from_the_shell() -> None:
    command = [sys.executable, "-m", "viewpair", "sweep", "ablation=pairing", "train.epoch=3"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.splitlines() == [
        "viewpair: train.epoch=3: there is no key 'train.epoch'",
        "  -> did you mean train.epochs?",
    ]


def test_a_commands_exit_code_is_the_programs(command: Callable, viewpair: Run) -> None:
    command(lambda config: 7 if config.seed == 3 else 0)
    assert viewpair("try", "seed=3")[0] == 7
    assert viewpair("try")[0] == 0


def raising(error: BaseException) -> Callable[[DictConfig], int]:
    def body(_config: DictConfig) -> int:
        raise error

    return body


def test_a_users_error_is_a_message(command: Callable, viewpair: Run) -> None:
    command(raising(DataError("films.csv, row 7: no view", "fill it in")))
    assert viewpair("try") == (2, "", "viewpair: films.csv, row 7: no view\n  -> fill it in\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_message(command: Callable, viewpair: Run, number: int) -> None:
    command(raising(OSError(number, os.strerror(number), "outputs/x.npz")))
    code, _, err = viewpair("try")
    assert code == 2
    assert "the disk is full (outputs/x.npz)" in err
    assert "Traceback" not in err


def test_our_own_mistake_shows_where(command: Callable) -> None:
    for error in (KeyError("x"), FileNotFoundError(2, "gone", "y")):
        command(raising(error))
        with pytest.raises(type(error)):
            cli.main(["try"])


def test_a_full_device_behind_stdout_is_a_message() -> None:
    with Path("/dev/full").open("w") as full:
        found = subprocess.run([sys.executable, "-m", "viewpair", "--help"], stdout=full, stderr=subprocess.PIPE)
    assert found.returncode == 2
    assert b"the disk is full" in found.stderr
    assert b"Traceback" not in found.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m viewpair --help | head -1"
    found = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_ctrl_c_is_a_short_message_and_130() -> None:
    code = (
        "import sys, time; from viewpair import cli;"
        "cli.dispatch = lambda words: print('up', flush=True) or time.sleep(60); sys.exit(cli.main(['x']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "viewpair: interrupted; what was computed is kept, run the same command to go on\n"


def test_a_dry_run_prints_the_plan_and_writes_nothing(viewpair: Run, tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    code, out, _ = viewpair("sweep", "ablation=[masking_ratio,pairing]", "--dry-run", f"paths.root={root}")
    assert code == 0
    assert "mvmae mask_ratio=0.93" in out
    assert "with masking_ratio" in out
    assert "shared" in out
    assert "to run; images x epochs" in out
    assert not root.exists()


def test_an_invalid_cell_stops_the_sweep_before_anything_is_written(viewpair: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("title: T\nquestion: Q\nbase: []\naxes: {method.mask_ratio: [0.5, 1.5]}\nseeds: [0]\n")
    code, out, err = viewpair("sweep", f"ablation={file}", f"paths.root={tmp_path / 'outputs'}")
    assert (code, out) == (2, "")
    assert "ablation mine, cell method.mask_ratio=1.5: method.mask_ratio=1.5 is outside (0, 1)" in err
    assert not (tmp_path / "outputs").exists()


def test_status_before_any_sweep_says_how_to_begin(viewpair: Run, tmp_path: Path) -> None:
    code, out, _ = viewpair("status", f"paths.root={tmp_path}")
    assert code == 0
    assert "nothing was swept" in out
