#!/usr/bin/env bash
# Installs what the tests need and runs all of them.
#   launch/test.sh
# Order: format, imports and both builds without warnings, unit and command-line tests, then other software (PyTorch and
# transformers from PyPI) against `hadal probe`.
set -euo pipefail
cd "$(dirname "$0")/.."

./launch/install.sh python3-venv

echo "== format"
swift format lint --strict --recursive Package.swift Sources Tests

echo "== debug build: warnings are errors, a target imports only what it declares"
swift build --build-tests --explicit-target-dependency-import-check error

echo "== unit and command-line tests"
swift test --skip-build --parallel

echo "== release build"
swift build -c release --product hadal
hadal=$(swift build -c release --show-bin-path)/hadal

echo "== against transformers"
python=.build/venv-oracle/bin/python
if [ ! -x "$python" ] || ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  rm -rf .build/venv-oracle
  if ! { python3 -m venv .build/venv-oracle &&
    { "$python" -m pip install -q 'torch==2.13.0+cpu' || "$python" -m pip install -q 'torch==2.13.0'; } &&
    "$python" -m pip install -q numpy safetensors transformers; }; then
    echo "SKIPPED: PyTorch and transformers could not be installed from PyPI" >&2
    exit 0
  fi
fi
"$python" Tests/Oracle/probe_against_transformers.py "$hadal"
