#!/usr/bin/env bash
# Builds Duel and trains a WGAN-GP on the built-in digits for three minutes. Run again, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
cmake --preset cpu >/dev/null
cmake --build --preset cpu --target duel_command

out=runs/demo
more=()
[ -e "$out/checkpoint.safetensors" ] && more=(--resume)
build/cpu/bin/duel train wgan-gp --data glyphs --out "$out" --minutes "${DEMO_MINUTES:-3}" "${more[@]}"
echo
echo "Generated digits:      $out/samples.png"
echo "How they came about:   $out/samples/"
echo "Losses:                $out/curves.png"
echo "More of them:          build/cpu/bin/duel sample $out --count 100 --out more.png"
