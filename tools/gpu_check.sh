#!/usr/bin/env bash
# Checks Duel on this machine's GPU. Lies in the bundle (see tools/bundle.sh) and runs from there.
#   gpu_check.sh [--out FOLDER] [--again] [STAGE...]      stages: test sanitize bench steps (default: all)
# All together take at most 24 minutes. Each stage leaves FOLDER/STAGE.json (default: results beside this script) and its
# full text in FOLDER/STAGE.log. A stage that is done for this version is not run again, unless --again is given; what
# could not be run is recorded as not run.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$here/results again=no stages=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --again) again=yes ;;
    test | sanitize | bench | steps) stages+=("$1") ;;
    *) echo "gpu_check.sh: found '$1', expected --out FOLDER, --again or a stage: test sanitize bench steps" >&2; exit 2 ;;
  esac
  shift
done
[ ${#stages[@]} -eq 0 ] && stages=(test sanitize bench steps)
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
export DUEL_GOLDEN=$here/golden GOMP_SPINCOUNT=2000
commit=$(cat "$here/COMMIT")
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -1)

text() { # a JSON string of standard input
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/ /g' | tr -d '\000-\010\013-\037' | awk '{ printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }'
}
# record STAGE STATUS SECONDS [MORE]: MORE are further members of the object.
record() {
  {
    printf '{"stage": "%s", "status": "%s", "seconds": %s,\n' "$1" "$2" "$3"
    printf ' "date": "%s", "commit": "%s",\n' "$(date -u +%FT%TZ)" "$commit"
    printf ' "gpu": "%s", "driver": "%s"' "$(text <<<"$gpu")" "$(text <<<"$driver")"
    [ -n "${4:-}" ] && printf ',\n %s' "$4"
    printf '}\n'
  } >"$out/$1.json.new" && mv "$out/$1.json.new" "$out/$1.json"
  echo "$1: $2 after $3 s"
}
# limited SECONDS COMMAND...: its output to the terminal and the stage's log
limited() {
  local limit=$1
  shift
  echo "\$ $*" >>"$log"
  timeout -k 10 "$limit" "$@" 2>&1 | tee -a "$log"
  return "${PIPESTATUS[0]}"
}
find_tool() {
  command -v "$1" && return
  local candidate
  for candidate in /usr/local/cuda*/bin/"$1" /usr/local/cuda*/compute-sanitizer/"$1" /opt/nvidia/*/"$1"; do
    [ -x "$candidate" ] && echo "$candidate" && return
  done
  return 1
}

stage_test() {
  limited 240 "$here/bin/duel_tests" '--test-case=cuda:*'
  local code=$? status=failed
  [ $code -eq 0 ] && status=passed
  record test $status $SECONDS "\"exit\": $code, \"lines\": \"$(grep -E '^cuda|^\[doctest\]|ERROR|CHECK|logged' "$log" | tail -200 | text)\""
}

# A bounded selection: one row of each kind of kernel.
selection=conv2d,conv2d_transpose,conv2d_weight,matmul,norm,sum,max,softmax,add,gather,scatter,bilinear,permute,normal
stage_sanitize() {
  local sanitizer tool results="" status=passed
  if ! sanitizer=$(find_tool compute-sanitizer); then
    record sanitize "not run" $SECONDS '"why": "compute-sanitizer was not found"'
    return
  fi
  for tool in memcheck racecheck synccheck initcheck; do
    DUEL_ONLY=$selection limited 75 "$sanitizer" --tool $tool --error-exitcode 9 \
      "$here/bin/duel_tests" '--test-case=cuda: every row in*'
    local code=$?
    [ $code -eq 0 ] || status=failed
    results+="${results:+, }\"$tool\": $code"
  done
  record sanitize $status $SECONDS "\"exit\": {$results}, \"lines\": \"$(grep -E 'ERROR SUMMARY|=========     at|Race reported|Uninit' "$log" | tail -60 | text)\""
}

stage_bench() {
  local status=passed members="" type
  for type in f32 bf16; do
    limited 70 "$here/bin/bench_ops" --device cuda --type $type --seconds 0.05 --json "$out/ops_$type.json" || status=failed
    [ -s "$out/ops_$type.json" ] && members+="${members:+, }\"duel_$type\": $(cat "$out/ops_$type.json")"
  done
  if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    for type in f32 bf16; do
      "$here/bin/bench_ops" --list --device cpu >"$out/rows.txt"
      limited 70 python3 "$here/bench/torch_ops.py" --rows "$out/rows.txt" --type $type --json "$out/torch_$type.json" || status=failed
      [ -s "$out/torch_$type.json" ] && members+="${members:+, }\"torch_$type\": $(cat "$out/torch_$type.json")"
    done
  else
    members+="${members:+, }\"torch\": \"not run: no PyTorch that sees a GPU\""
  fi
  record bench $status $SECONDS "$members"
}

# Whole iterations beside PyTorch: its eager mode, channels-last, and one graph an iteration with fused Adam; then, for
# two cases, its compiler's graphs, which take longest to prepare.
stage_steps() {
  if ! python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    local rows
    rows=$(limited 300 "$here/bin/bench_steps" --device cuda --seconds 2 | grep '^{' | paste -sd, -)
    record steps $([ -n "$rows" ] && echo passed || echo failed) $SECONDS "\"torch\": \"not run: no PyTorch that sees a GPU\", \"duel\": [$rows]"
    return
  fi
  local status=passed members="" cases limit=300
  for cases in all compiled; do
    local options=(--cases mlp_gan,dcgan28,wgan_gp28,wgan_gp32,dcgan64,wgan_gp64 --precisions f32,tf32,bf16 --rounds 2 --limit 240
                   --modes eager,eager+cl,cudagraph+fused,cudagraph+cl+fused)
    [ $cases = compiled ] && limit=120 options=(--cases mlp_gan,dcgan28 --precisions f32 --rounds 1 --limit 60 --modes compile-ro+fused,compile-ro+cl+fused)
    limited $limit python3 "$here/bench/side_by_side.py" --python python3 --duel "$here/bin/bench_steps" --device cuda --seconds 1 \
      --out "$out/steps_$cases" "${options[@]}" || status=failed
    [ -s "$out/steps_$cases.json" ] && members+="${members:+, }\"$cases\": $(cat "$out/steps_$cases.json")"
  done
  record steps $status $SECONDS "$members"
}

for stage in "${stages[@]}"; do
  log=$out/$stage.log
  if [ $again = no ] && grep -qs "\"commit\": \"$commit\"" "$out/$stage.json" && grep -qs '"status": "passed"' "$out/$stage.json"; then
    echo "$stage: done before"
    continue
  fi
  : >"$log"
  SECONDS=0
  if ! "$here/bin/duel" list devices >>"$log" 2>&1; then
    record "$stage" "not run" 0 "\"why\": \"$(tail -1 "$log" | text)\""
    continue
  fi
  if ! grep -q '^cuda: ' "$log"; then
    record "$stage" "not run" 0 "\"why\": \"$(grep '^cuda ' "$log" | tail -1 | text)\""
    continue
  fi
  "stage_$stage"
done
