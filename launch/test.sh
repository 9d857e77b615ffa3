#!/usr/bin/env bash
# Installs what the tests need and runs all of them.
#   launch/test.sh                     HADAL_ALLOW_SKIP=1: pass without PyTorch if it cannot be installed
# Order: format, launch scripts, imports and both builds without warnings, unit and command-line tests, ranks under
# mpirun, runs that are killed, then other software (PyTorch and transformers from PyPI) against `hadal probe`, `import`
# and `export`.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

./launch/install.sh python3-venv openmpi-bin libopenmpi-dev iproute2 procps shellcheck

echo "== format"
swift format lint --strict --recursive Package.swift Sources Tests

echo "== launch scripts (the cluster of namespaces only as root)"
./Tests/Launch/run.sh

echo "== debug build: warnings are errors, a target imports only what it declares"
swift build --build-tests --explicit-target-dependency-import-check error

echo "== unit and command-line tests"
swift test --skip-build --parallel

echo "== four ranks under mpirun"
Tests/MPI/run.sh "$(swift build --show-bin-path)/mpi-checks"

echo "== release build"
swift build -c release --product hadal
hadal=$(swift build -c release --show-bin-path)/hadal

echo "== layouts of ranks, each against one rank"
Tests/MPI/layouts.sh "$hadal"

echo "== bytes of the exchange between nodes (only as root)"
Tests/MPI/exchange.sh "$hadal"

echo "== a node that vanishes (only as root)"
Tests/MPI/lost_node.sh "$hadal"

echo "== runs that are killed at random moments and resumed"
benchmarks/killed_runs.py --runs 6 --hadal "$hadal"

echo "== against transformers"
python=.build/venv-oracle/bin/python
# A fresh environment with the software that is compared with; the CPU build of PyTorch where the index has it.
install_oracle() {
  rm -rf .build/venv-oracle
  python3 -m venv .build/venv-oracle &&
    { "$python" -m pip install -q 'torch==2.13.0+cpu' || "$python" -m pip install -q 'torch==2.13.0'; } &&
    "$python" -m pip install -q numpy safetensors transformers
}
if [ ! -x "$python" ] || ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  tries=3
  until install_oracle; do
    tries=$((tries - 1))
    if [ "$tries" -gt 0 ]; then
      sleep 10
      continue
    fi
    echo "PyTorch and transformers could not be installed from PyPI in 3 tries" >&2
    if [ "${HADAL_ALLOW_SKIP:-}" = 1 ]; then
      echo "SKIPPED, as HADAL_ALLOW_SKIP=1 allows: NOTHING WAS COMPARED WITH TRANSFORMERS" >&2
      exit 0
    fi
    echo "test.sh: failed; with HADAL_ALLOW_SKIP=1 it passes without that part" >&2
    exit 1
  done
fi
"$python" Tests/Oracle/probe_against_transformers.py "$hadal"
"$python" Tests/Oracle/exchange_against_transformers.py "$hadal"
"$python" Tests/Oracle/shards_in_python.py "$hadal"
