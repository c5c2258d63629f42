"""What `viewpair doctor` looks at where trials go to SLURM: the programs, the controller, its settings, and a node."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from sweeps.doctor import FAILED, OK, WARNING, Finding, Findings, judge, look_at_disk, look_at_folder
from sweeps.slurm import scheduler
from sweeps.slurm.scheduler import SchedulerError
from sweeps.slurm.submit import test
from sweeps.slurm.time_limit import minutes
from sweeps.slurm.visit import visit

if TYPE_CHECKING:
    from sweeps.launchers.slurm import SlurmConfig

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo")
# what SLURM leaves a cancelled task unless set otherwise
USUAL_KILL_WAIT = 30


def examine(config: SlurmConfig, root: Path, seconds: float) -> Findings:
    """Everything, one after the other; what cannot be looked at for want of something before it is left out."""
    yield (found := programs())
    if found.verdict == FAILED:
        return
    try:
        conf = scheduler.configuration()
    except SchedulerError as silent:
        yield Finding("controller", FAILED, silent.what, silent.hint)
        return
    yield Finding("controller", OK, f"SLURM {conf['SLURM_VERSION']}, cluster {conf['ClusterName']}")
    yield (accepted := settings(config))
    yield arrays(conf)
    yield accounting(conf)
    folder = look_at_folder(root)
    yield from (folder, look_at_disk(root))
    if accepted.verdict == FAILED:
        return
    partition = scheduler.partition(config.partition)
    yield from (requeue(conf, partition), time_to_save(config, conf, partition))
    if folder.verdict != FAILED:
        yield from visit(config, root, seconds)


def programs() -> Finding:
    """Whether SLURM's programs are on PATH."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    hint = "run this on a login node of the cluster (module load slurm?), or use launcher=local"
    found = f"not on PATH: {', '.join(absent)}" if absent else f"{', '.join(PROGRAMS)} are on PATH"
    return judge("programs", not absent, found, hint)


def settings(config: SlurmConfig) -> Finding:
    """Whether SLURM would take a task with the launcher's settings, and knows the helpers' partition."""
    try:
        test(config)
        known = scheduler.partitions()
    except UserError as refused:
        return Finding("settings", FAILED, refused.what, refused.hint)
    if config.helper_partition and config.helper_partition not in known:
        found = f"launcher.helper_partition={config.helper_partition} does not exist"
        return Finding("settings", FAILED, found, f"partitions here: {', '.join(known)}")
    named = ("partition", "account", "qos", "gres", "constraint")
    said = [f"{name} {getattr(config, name)}" for name in named if getattr(config, name)]
    return Finding("settings", OK, ", ".join([*said, f"time {config.time}"]) + ": accepted (sbatch --test-only)")


def arrays(conf: Mapping[str, str]) -> Finding:
    """How large an array may be; larger sweeps are cut."""
    found = f"up to {int(conf['MaxArraySize']) - 1} tasks each (MaxArraySize); a larger sweep is sent as several"
    return Finding("arrays", OK, found)


def accounting(conf: Mapping[str, str]) -> Finding:
    """Whether SLURM remembers jobs. Nothing depends on it."""
    off = conf["AccountingStorageType"].endswith("none")
    found = f"off; squeue tells for {conf['MinJobAge']} how a job ended, the disk what it left" if off else "on"
    return Finding("accounting", OK, found)


def requeue(conf: Mapping[str, str], partition: Mapping[str, str]) -> Finding:
    """Whether a task that is interrupted goes back into the queue."""
    default = "by default" if conf["JobRequeue"] == "1" else "though not by default: tasks ask for it"
    found = f"jobs are requeued {default} (JobRequeue={conf['JobRequeue']})"
    if not preempts(conf, partition):
        return Finding("requeue", OK, f"{found}; nothing is preempted in {partition['PartitionName']}")
    mode = partition["PreemptMode"]
    hint = "type viewpair resume after a preemption, or choose a partition that requeues"
    return judge("requeue", mode != "CANCEL", f"{found}; preempted: PreemptMode={mode}", hint, WARNING)


def preempts(conf: Mapping[str, str], partition: Mapping[str, str]) -> bool:
    """Whether tasks in the partition may be preempted."""
    return conf["PreemptType"] not in ("preempt/none", "(null)") and partition["PreemptMode"] != "OFF"


def time_to_save(config: SlurmConfig, conf: Mapping[str, str], partition: Mapping[str, str]) -> Finding:
    """Whether a task has time for a checkpoint, at its time limit, when it is preempted, when it is cancelled."""
    title, limit = "time to save", 60 * minutes(config.time)
    if config.signal_delay >= limit:
        found = f"launcher.signal_delay={config.signal_delay} s is no less than the time limit, {limit} s"
        return Finding(title, FAILED, found, "tasks would be warned as soon as they start: raise launcher.time")
    killed, grace = seconds_in(conf["KillWait"]), seconds_in(partition.get("GraceTime", "0"))
    short = []
    if killed < min(USUAL_KILL_WAIT, config.signal_delay):
        short.append(f"{killed} s when it is cancelled (KillWait)")
    if preempts(conf, partition) and grace < config.signal_delay:
        short.append(f"{grace} s when it is preempted (GraceTime)")
    found = f"a task has {config.signal_delay} s before its time limit (launcher.signal_delay)"
    hint = "a checkpoint that takes longer is lost, and its trial goes on from the one before it"
    return judge(title, not short, f"{found}, but {' and '.join(short)}" if short else found, hint, WARNING)


def seconds_in(text: str) -> int:
    """'30 sec' or '30' as 30; 0 for what is no number."""
    first = text.split()[0] if text.split() else ""
    return int(first) if first.isdigit() else 0
