#!/usr/bin/env bash
# Tests the launch scripts; launch/test.sh calls it. Needs Open MPI with its compiler; the local cluster needs root.
set -euo pipefail
cd "$(dirname "$0")"
if command -v shellcheck >/dev/null; then
  shellcheck -x ../../launch/*.sh ../../launch/slurm.sbatch ./*.sh ../MPI/*.sh ../../benchmarks/*.sh
else
  echo "SKIPPED, as there is no shellcheck: NO SCRIPT WAS CHECKED"
fi
for test in ./*_test.sh; do
  echo "-- $test"
  "$test" || {
    echo "FAILED: Tests/Launch/$test" >&2
    exit 1
  }
done
