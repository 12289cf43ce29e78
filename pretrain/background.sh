#!/usr/bin/env bash
# Start, or go on with, the pre-training of `nano` in the background: one thread, lowest priority, safe to call again.
#   background.sh STATE ASSETS [options of train.py for a new run]   start or continue
#   background.sh STATE stop                                         save and end
#   touch STATE/pause / rm STATE/pause                               wait / go on
set -euo pipefail
state=$1 here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
mkdir -p "$state"
state=$(cd "$state" && pwd)
pid=$(cat "$state/pid" 2>/dev/null || true)
starting() { [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "--state $state "; }
under_way() { ! flock -n "$state/lock" true || starting; } # the lock is taken once Python has loaded its modules
if [ "${2:-}" = stop ]; then
  if under_way; then
    kill "$pid"
    while [ -e "/proc/$pid" ]; do sleep 0.5; done # until it has saved
  fi
  exit 0
fi
if under_way; then
  echo "under way already, process $pid"
  exit 0
fi
assets=$2
shift 2
export OMP_NUM_THREADS=1
setsid nohup nice -n 19 "$python" "$here/train.py" --state "$state" --assets "$assets" "$@" >>"$state/out" 2>&1 &
echo $! >"$state/pid"
echo "started, process $!"
