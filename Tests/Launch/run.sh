#!/usr/bin/env bash
# Tests the launch scripts; launch/test.sh calls it. Needs shellcheck and Open MPI with its compiler; the local cluster
# needs root.
set -euo pipefail
cd "$(dirname "$0")"
shellcheck -x ../../launch/*.sh ../../launch/slurm.sbatch ./*.sh ../MPI/*.sh ../../benchmarks/*.sh
for test in ./*_test.sh; do
  echo "-- $test"
  "$test" || {
    echo "FAILED: Tests/Launch/$test" >&2
    exit 1
  }
done
