#!/usr/bin/env bash
# Builds everything and runs every test. PRESET=asan does it under the sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
preset=${PRESET:-cpu}
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" -j 2  # the longest, of the CUDA kernels, computes with one thread
