"""The configuration files of a cluster."""

from __future__ import annotations

import shlex

from core.io import write_text
from slurm.dev.spec import Spec

CLUSTER = "dev"
DATABASE = "slurm_acct"


def write(spec: Spec) -> None:
    """Write every file that the daemons and a user's shell need."""
    for name in ("etc", "run", "log", "state", "spool", *(f"spool/{node}" for node in spec.node_names)):
        (spec.folder / name).mkdir(parents=True, exist_ok=True)
    write_text(spec.conf, slurm_conf(spec))
    write_text(spec.folder / "env.sh", f"export SLURM_CONF={shlex.quote(str(spec.conf))}\n")
    if spec.gpus:
        _pretend_gpus(spec)
    if spec.accounting == "dbd":
        path = spec.folder / "etc" / "slurmdbd.conf"
        write_text(path, slurmdbd_conf(spec))
        # slurmdbd refuses a file that others can read.
        path.chmod(0o600)


def slurm_conf(spec: Spec) -> str:
    """slurm.conf. Values are as measured with SLURM 22.05."""
    return "\n".join([*_identity(spec), *_jobs(spec), *_scheduling(), *_accounting(spec), *_nodes(spec), ""])


def _identity(spec: Spec) -> list[str]:
    folder, run = spec.folder, spec.run
    return [
        f"ClusterName={CLUSTER}",
        f"SlurmctldHost={spec.host}(127.0.0.1)",
        f"SlurmctldPort={spec.port}",
        "# One user runs everything, so no folder has to be handed to another account.",
        f"SlurmUser={spec.user}",
        f"SlurmdUser={spec.user}",
        "# A requeued job waits until its old credential has run out: 120 s unless told, and never less than 5 s.",
        f"AuthInfo=socket={spec.munge_socket},cred_expire=5",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={run}/slurmctld.pid",
        f"SlurmdPidFile={run}/slurmd.%n.pid",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/slurmd.%n.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
    ]


def _jobs(spec: Spec) -> list[str]:
    return [
        f"FirstJobId={spec.first_job_id}",
        f"MaxArraySize={spec.max_array_size}",
        f"MaxJobCount={max(20_000, spec.max_array_size)}",
        "# No cgroups here: a job's processes are followed from parent to child, and nothing is pinned.",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "# Memory is looked at each second. A step above its --mem is killed then, and counts as FAILED: only cgroups",
        "# would call it OUT_OF_MEMORY. UsePss: pages that forked processes share count once.",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=1",
        "JobAcctGatherParams=OverMemoryKill,UsePss",
        "PropagateResourceLimits=NONE",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        f"DefMemPerCPU={spec.memory // spec.cpus}",
        "# What can never run is refused by sbatch.",
        "EnforcePartLimits=ALL",
    ]


def _scheduling() -> list[str]:
    return [
        "# Schedule each second. With the defaults an array's next tasks wait 3 s.",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_interval=1,sched_min_interval=10000,batch_sched_delay=0,bf_interval=1",
        "PriorityType=priority/basic",
        "# A preempted job gets the signal it named with --signal, then GraceTime to save, then it is requeued.",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "SlurmctldParameters=preempt_send_user_signal",
        "# Little patience, so that tests of faults end soon.",
        "KillWait=3",
        "SlurmdTimeout=15",
        "SlurmctldTimeout=15",
        "MessageTimeout=10",
        "UnkillableStepTimeout=30",
    ]


def _accounting(spec: Spec) -> list[str]:
    if spec.accounting == "none":
        return ["AccountingStorageType=accounting_storage/none"]
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={spec.dbd_port}",
        f"AccountingStoragePass={spec.munge_socket}",
    ]


def _nodes(spec: Spec) -> list[str]:
    ports = f"[{spec.node_ports.start}-{spec.node_ports.stop - 1}]"
    gres = f" Gres=gpu:{spec.gpus}" if spec.gpus else ""
    preempted = "Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE"
    return [
        "# Believe what the nodes claim, and use one that comes back, however it went away.",
        "SlurmdParameters=config_overrides",
        "ReturnToService=2",
        *(["GresTypes=gpu"] if spec.gpus else []),
        f"NodeName=n[1-{spec.nodes}] NodeHostname={spec.host} NodeAddr=127.0.0.1 Port={ports}"
        f" CPUs={spec.cpus} RealMemory={spec.memory}{gres}",
        f"PartitionName=main {preempted} DefaultTime=10 GraceTime=10 Default=YES",
        "PartitionName=urgent Nodes=ALL DefaultTime=10 PriorityTier=10 PreemptMode=OFF",
        "# No grace: who is preempted here is gone at once.",
        f"PartitionName=short {preempted} DefaultTime=1 MaxTime=1 GraceTime=0",
        *([f"PartitionName=gpu {preempted} DefaultTime=10 GraceTime=10"] if spec.gpus else []),
    ]


def _pretend_gpus(spec: Spec) -> None:
    """A GPU counts only if its file is a device. The number that the name ends with reaches CUDA_VISIBLE_DEVICES."""
    for i in range(spec.gpus):
        link = spec.run / f"gpu{i}"
        if not link.is_symlink():
            link.symlink_to("/dev/null")
    devices = f"{spec.run}/gpu[0-{spec.gpus - 1}]"
    write_text(spec.folder / "etc" / "gres.conf", f"NodeName=n[1-{spec.nodes}] Name=gpu File={devices}\n")


def slurmdbd_conf(spec: Spec) -> str:
    """slurmdbd.conf, which slurmdbd expects beside slurm.conf."""
    lines = [
        f"DbdHost={spec.host}",
        "DbdAddr=127.0.0.1",
        f"DbdPort={spec.dbd_port}",
        f"SlurmUser={spec.user}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={spec.munge_socket}",
        f"PidFile={spec.run}/slurmdbd.pid",
        f"LogFile={spec.folder}/log/slurmdbd.log",
        "CommitDelay=1",
        "StorageType=accounting_storage/mysql",
        "StorageHost=127.0.0.1",
        f"StoragePort={spec.database_port}",
        "StorageUser=slurm",
        "StoragePass=slurm",
        f"StorageLoc={DATABASE}",
    ]
    return "\n".join([*lines, ""])
