#!/usr/bin/env bash
# Trains the models that are measured in bench/results/quality.md on MNIST and Fashion-MNIST, and measures each on
# held-out images: about an hour and a half on two cores. It can be interrupted: what is in OUT is not trained again.
#   bench/quality.sh MNIST FASHION-MNIST OUT     (two folders with the four IDX files, and one for the runs)
set -euo pipefail
if [ $# -ne 3 ]; then
  echo "usage: bench/quality.sh MNIST FASHION-MNIST OUT" >&2
  exit 2
fi
duel=$(dirname "$0")/../build/cpu/bin/duel
mnist=$1 fashion=$2 out=$3
mkdir -p "$out"

train() {  # RUN STEPS MODEL OPTIONS...
  local run=$out/$1 steps=$2 resume=()
  shift 2
  [ -e "$run/checkpoint.safetensors" ] && resume=(--resume)
  "$duel" train "$1" "${@:2}" --steps "$steps" --out "$run" "${resume[@]}"
}
judge() {  # RUN COUNT
  echo "== $1"
  "$duel" evaluate "$out/$1" --count "$2"
}

train cgan 5000 cgan --data "$mnist"
train acgan 12000 acgan --data "$mnist"
for seed in 1 2 3; do train infogan-$seed 4000 infogan --data "$mnist" --seed $seed; done
train sgan 20000 sgan --data "$mnist" --labels 100
train sgan-score 12000 sgan --data "$mnist" --labels 100 --generator score
train labels-alone 4000 sgan --data "$mnist" --labels 100 --unlabelled-weight 0
train catgan 6000 catgan --data "$mnist" --labels 100
train clusters 6000 catgan --data "$mnist" --labels 0 --clusters 20
train dcgan 2500 dcgan --data "$mnist"
train fashion-dcgan 9000 dcgan --data "$fashion"
train fashion-lsgan 8000 lsgan --data "$fashion"
train fashion-hinge 5000 hinge --data "$fashion"
train fashion-wgan 10000 wgan --data "$fashion"
train fashion-wgan-gp 6000 wgan-gp --data "$fashion"
train fashion-r3gan 10000 r3gan --data "$fashion"

judge cgan 5000
judge acgan 5000
for seed in 1 2 3; do judge infogan-$seed 2000; done
for run in sgan sgan-score labels-alone catgan clusters; do judge $run 2000; done
unconditional="dcgan lsgan hinge wgan wgan-gp r3gan"
for model in $unconditional; do judge fashion-$model 10000; done
echo "== Fashion-MNIST, by judge Fréchet distance"
for model in $unconditional; do
  distance=$(sed -n '/"judge_frechet_distance"/{n;s/[^0-9.]//g;p}' "$out/fashion-$model/evaluation.json")
  printf '%8.2f  %s\n' "$distance" "$model"
done | sort -n
"$duel" evaluate "$out/dcgan" --probe --labels 1000
