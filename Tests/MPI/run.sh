#!/usr/bin/env bash
# Runs the checks of communication under mpirun, on four ranks, and looks at how a job ends when something is wrong.
#   Tests/MPI/run.sh MPI_CHECKS        the program of that name
set -euo pipefail
checks=$1
# More ranks than processors, and root in a container, are what a test may meet.
run=(timeout 120 mpirun --allow-run-as-root --oversubscribe -n 4 "$checks")

"${run[@]}"

# The job of this mode must end with a code that is not zero, and print every one of the texts.
refuses() {
  local mode=$1 output
  shift
  if output=$("${run[@]}" "$mode" 2>&1); then
    echo "mpi-checks $mode ended with code 0:" >&2
    echo "$output" >&2
    return 1
  fi
  for text in "$@"; do
    grep -qF -- "$text" <<<"$output" || {
      echo "mpi-checks $mode does not say '$text':" >&2
      echo "$output" >&2
      return 1
    }
  done
}

refuses silence "hadal: rank 0 of 4" "hadal: rank 1 of 4" "hadal: rank 2 of 4" "hadal: rank 3 of 4" \
  "dispatch, layer 12, micro-batch 3: 8 bytes from rank 3" "waits for nothing"
refuses failure "hadal: rank 1 of 4" "no such file: tokens.bin"
refuses death "rank 1" "Killed"
echo "a silent rank, a failing one and a killed one end the job, and say so"
