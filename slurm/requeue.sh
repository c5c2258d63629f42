# Sourced by the batch script of every array task, before srun. When the step ends otherwise than well, this puts the
# array element back into the queue; each trial goes on from its last checkpoint.
#
#   VIEWPAIR_LIFE   file that the task leaves once it runs Python (see sweeps/slurm/task.py)
#
# Exit codes: 0 all done. 75 stopped after a warning (preemption, time limit). 140 killed by the warning before Python
# could hear it. Anything else: broke (kill -9, out of memory, a rank that died); tried again if Python had started,
# since then sweeps/slurm/task.py counts the starts and gives up on a trial that gets no further.

viewpair_requeue() {
  local code=$?
  [ "$code" -eq 0 ] && exit 0
  # A cancelled job is not RUNNING any more, nor is one that SLURM requeues by itself. One that came to the end of its
  # time, because the warning was too short, can still be requeued while it ends.
  case "$(scontrol show job -o "$SLURM_JOB_ID")" in
    *" JobState=RUNNING "* | *" Reason=TimeLimit "*)
      if [ "$code" -eq 75 ] || [ "$code" -eq 140 ] || [ -e "$VIEWPAIR_LIFE" ]; then
        echo "viewpair: the step ended with code $code; requeued"
        scontrol requeue "$SLURM_JOB_ID"
      fi ;;
  esac
  exit "$code"
}
trap viewpair_requeue EXIT
# At the end of its time SLURM sends TERM to this shell too: wait for the step all the same.
trap : TERM
