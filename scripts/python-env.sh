#!/usr/bin/env bash
# Makes .venv with what the oracle tests and the C++ formatter need. Safe to call again.
#   scripts/python-env.sh          NumPy (reference implementation), clang-format
#   scripts/python-env.sh --full   also PyTorch and transformers (peers, real-model checks)
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
if [ "${1:-}" = "--full" ]; then
  .venv/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements-full.txt
fi
