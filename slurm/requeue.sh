# Sourced by the batch script of every task, before srun. When the step ends otherwise than well, this puts the job (or
# the array's element) back into the queue; each trial goes on from its last checkpoint.
#
#   VIEWPAIR_LIVES       what the names of this task's marks begin with: a life that counted the start of a trial leaves
#                        $VIEWPAIR_LIVES-<restart> (see note_start in sweeps/slurm/task.py)
#   VIEWPAIR_MAX_STARTS  lives in a row without a mark after which the task is given up
#
# Exit codes: 0 all done. 75 stopped after a warning (preemption, time limit). 129 and more ended by a signal (kill -9,
# out of memory; 140 the warning itself, before Python could hear it). Anything else: broke. That is tried again only
# where a start was counted in this life, since that count is what ends it: a data set that cannot be built, or an
# environment that cannot start Python, would do no better the next time.

viewpair_lives_without_mark() {
  local life=${SLURM_RESTART_COUNT:-0} count=0
  while [ "$life" -ge 0 ] && ! [ -e "$VIEWPAIR_LIVES-$life" ]; do
    count=$((count + 1)) life=$((life - 1))
  done
  echo "$count"
}

viewpair_requeue() {
  local code=$? unmarked
  [ "$code" -eq 0 ] && exit 0
  unmarked=$(viewpair_lives_without_mark)
  # A cancelled job is not RUNNING any more, nor is one that SLURM requeues by itself. One that came to the end of its
  # time, because the warning was too short, can still be requeued while it ends.
  case "$(scontrol show job -o "$SLURM_JOB_ID")" in
    *" JobState=RUNNING "* | *" Reason=TimeLimit "*)
      if [ "$unmarked" -ge "$VIEWPAIR_MAX_STARTS" ]; then
        echo "viewpair: given up: ended $unmarked times before any trial began; are time limit and memory enough?"
      elif [ "$code" -eq 75 ] || [ "$code" -gt 128 ] || [ "$unmarked" -eq 0 ]; then
        echo "viewpair: the step ended with code $code; requeued"
        scontrol requeue "$SLURM_JOB_ID"
      fi ;;
  esac
  exit "$code"
}
trap viewpair_requeue EXIT
# At the end of its time SLURM sends TERM to this shell too: wait for the step all the same.
trap : TERM
