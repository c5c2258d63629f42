"""Job scripts, written and sent by submitit."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError
from sweeps.processes import only_environment
from sweeps.slurm import scheduler
from sweeps.slurm.runs import DATA_JOB, LIVES, MERGE, RANGES, REPORT_JOB, job_name
from sweeps.slurm.scheduler import SchedulerError, complaint
from sweeps.slurm.time_limit import minutes

if TYPE_CHECKING:
    from sweeps.launchers.slurm import SlurmConfig

CHECKOUT = Path(__file__).resolve().parents[2]
TRIALS, PROBE_JOB = "trials", "doctor"
# of the doctor's job: short ones are scheduled sooner
PROBE_MINUTES = 10


def test(config: SlurmConfig) -> None:
    """Ask SLURM whether it would take such a task. Raises ConfigError with its complaint, SchedulerError."""
    scheduler.find("sbatch")
    accept(Jobs(config, Path(tempfile.gettempdir())).script())


def accept(text: str) -> None:
    """Ask SLURM whether it would take a job script. Raises ConfigError with its complaint, SchedulerError."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "task.sh"
        script.write_text(text)
        try:
            scheduler.ask("sbatch", "--test-only", str(script))
        except SchedulerError as refused:
            if not refused.refused:
                raise
            hint = f"partitions here: {', '.join(scheduler.partitions())}; see launcher.* in viewpair sweep --help"
            raise ConfigError(f"SLURM refuses these launcher settings: {refused.refused}", hint) from refused


class Jobs:
    """Submits the jobs of one run. Each method returns the job's number."""

    def __init__(self, config: SlurmConfig, folder: Path) -> None:
        self._config, self.folder = config, folder.absolute()

    def script(self) -> str:
        """The script of a task, as sbatch would get it."""
        executor = self._executor("viewpair.test", self._task_settings([]))
        executor.parameters["map_count"] = 1
        return str(executor._make_submission_file_text("true", "test"))

    def data(self) -> str:
        """The job that builds data sets, without GPUs."""
        command = f"-m sweeps.slurm.task {shlex.quote(str(self.folder))} {DATA_JOB} 0"
        settings = self._settings([]) | {"setup": self._setup(DATA_JOB, "0")} | self._helper()
        return self._send(self._executor(job_name(self.folder, DATA_JOB), settings), command)

    def array(self, tasks: range, after: Sequence[str]) -> str:
        """An array of trial tasks, which waits for the jobs in `after` to succeed."""
        command = f"-m sweeps.slurm.task {shlex.quote(str(self.folder))} {TRIALS} {tasks[0]}"
        settings = self._task_settings([f"afterok:{job}" for job in after])
        settings["setup"] = self._setup(TRIALS, f"$(({tasks[0]} + SLURM_ARRAY_TASK_ID))")
        executor = self._executor(job_name(self.folder, tasks[0]), settings)
        executor.parameters["map_count"] = len(tasks)
        return self._send(executor, command)

    def ranges(self, count: int) -> str:
        """An array whose tasks build a range of one data set's shards each, without GPUs."""
        config = self._config
        settings = self._settings([]) | {"setup": self._setup(RANGES, "$SLURM_ARRAY_TASK_ID")} | self._helper()
        settings |= {"array_parallelism": config.max_parallel, "srun_args": [f"--cpus-per-task={config.cpus}"]}
        executor = self._executor(job_name(self.folder, RANGES), settings)
        executor.parameters["map_count"] = count
        return self._send(executor, f"-m sweeps.slurm.part {shlex.quote(str(self.folder))} {RANGES}")

    def merge(self, after: Sequence[str]) -> str:
        """The job that writes the data set's index, once the jobs in `after` have ended: it says what is missing."""
        chain = [f"afterany:{':'.join(after)}"] if after else []
        settings = self._settings(chain) | {"setup": self._setup(MERGE, "0")} | self._helper()
        executor = self._executor(job_name(self.folder, MERGE), settings)
        return self._send(executor, f"-m sweeps.slurm.part {shlex.quote(str(self.folder))} {MERGE}")

    def report(self, ablations: Iterable[str], root: Path, after: Sequence[str]) -> str:
        """The job that writes the report, once the jobs in `after` have ended, however they did."""
        words = ["report", f"ablation=[{','.join(ablations)}]", f"paths.root={root.absolute()}"]
        command = "-m viewpair " + " ".join(shlex.quote(word) for word in words)
        settings = self._settings([f"afterany:{':'.join(after)}"]) | {"setup": self._config.setup} | self._helper()
        return self._send(self._executor(job_name(self.folder, REPORT_JOB), settings), command)

    def probe(self, ranks: int) -> str:
        """The job that looks around for the doctor, where tasks would run."""
        return self._send(self._probe(ranks), f"-m sweeps.slurm.probe {shlex.quote(str(self.folder))}")

    def probe_script(self, ranks: int) -> str:
        """The script of that job, as sbatch would get it."""
        return str(self._probe(ranks)._make_submission_file_text("true", "test"))

    def _probe(self, ranks: int) -> Any:
        config = self._config
        nodes = min(ranks, config.nodes)
        settings = self._task_settings([]) | {"nodes": nodes, "ntasks_per_node": ranks // nodes}
        settings |= {"time": min(settings["time"], PROBE_MINUTES), "setup": [*config.setup, *self._variables()]}
        settings["srun_args"] = ["--kill-on-bad-exit=1", f"--cpus-per-task={config.cpus}"]
        return self._executor(job_name(self.folder, PROBE_JOB), settings)

    def _send(self, executor: Any, command: str) -> str:
        """Submit a command. Not a pickled function: what a task is to do stands in the run's folder, readable."""
        from submitit.core.utils import FailedJobError

        try:
            with only_environment(scheduler.environment()):
                return str(executor._submit_command(f"{executor.python} -u {command}").job_id)
        except FailedJobError as error:
            said = complaint(str(error))
            raise SchedulerError(f"sbatch says: {said}", f"nothing more was submitted; see {self.folder}") from error

    def _executor(self, name: str, settings: dict[str, Any]) -> Any:
        from submitit import SlurmExecutor

        config = self._config
        python = f"{config.container} {shlex.quote(config.python or sys.executable)}".strip()
        executor = SlurmExecutor(self.folder / "logs", python=python)
        executor.update_parameters(job_name=name, **settings)
        return executor

    def _task_settings(self, dependencies: Sequence[str]) -> dict[str, Any]:
        config = self._config
        settings = self._settings(dependencies)
        settings |= {"ntasks_per_node": config.concurrent * config.ranks // config.nodes, "nodes": config.nodes}
        settings |= {"array_parallelism": config.max_parallel}
        # a rank that dies would leave the others waiting for it
        settings["srun_args"] = [f"--kill-on-bad-exit={int(config.ranks > 1)}", f"--cpus-per-task={config.cpus}"]
        return settings | ({"gres": config.gres} if config.gres else {})

    def _settings(self, dependencies: Sequence[str]) -> dict[str, Any]:
        """What all jobs have in common, in submitit's words."""
        config = self._config
        named = {name: getattr(config, name) for name in ("partition", "account", "qos", "constraint", "exclude")}
        options = dict(option.split("=", 1) for option in config.options)
        chained = {"dependency": ",".join(dependencies), "kill-on-invalid-dep": "yes"} if dependencies else {}
        return {
            **{name: value for name, value in named.items() if value},
            **({"mem": f"{round(1024 * config.memory_gb)}M"} if config.memory_gb else {}),
            "time": minutes(config.time),
            "cpus_per_task": config.cpus,
            "signal_delay_s": config.signal_delay,
            "stderr_to_stdout": True,
            "wckey": None,
            "additional_parameters": {"requeue": True, **chained, **options},
        }

    def _helper(self) -> dict[str, Any]:
        return {"partition": self._config.helper_partition} if self._config.helper_partition else {}

    def _setup(self, what: str, task: str) -> list[str]:
        """Shell lines before srun."""
        lives = f"export VIEWPAIR_LIVES={shlex.quote(str(self.folder / LIVES))}/{what}-{task}"
        most = f"export VIEWPAIR_MAX_STARTS={self._config.max_starts}"
        requeue = f". {shlex.quote(str(CHECKOUT / 'slurm' / 'requeue.sh'))}"
        return [*self._config.setup, *self._variables(), lives, most, requeue]

    def _variables(self) -> list[str]:
        return [f"export {shlex.quote(pair)}" for pair in self._config.environment]
