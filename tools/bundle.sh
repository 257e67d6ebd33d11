#!/usr/bin/env bash
# Makes one relocatable folder and its compressed tarball from a build: the programs, the libraries they need, and what
# tools/gpu_check.sh runs. For x86-64 Linux with AVX2 and glibc 2.36 or newer, with or without a GPU.
#   bundle.sh BUILD_FOLDER OUT_FOLDER VERSION
set -euo pipefail
build=$1 out=$2 name=duel-$3-linux-x86_64
source=$(cd "$(dirname "$0")/.." && pwd)
folder=$out/$name
rm -rf "$folder" "$folder.tar.xz"
mkdir -p "$folder/bin" "$folder/lib" "$folder/bench"

for program in duel duel_tests bench_ops bench_steps; do
  [ -e "$build/bin/$program" ] && strip -o "$folder/bin/$program" "$build/bin/$program"
done
# Everything but the C library itself; a driver's libcuda is loaded when the program runs and never carried.
ldd "$folder"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -Ev '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*|libcuda)\.so' |
  while read -r library; do strip --strip-unneeded -o "$folder/lib/$(basename "$library")" "$library"; done

cp -r "$source/tests/golden" "$folder/golden"
cp "$source"/bench/torch_*.py "$source/bench/side_by_side.py" "$folder/bench/"
cp "$source/tools/gpu_check.sh" "$source/README.md" "$source/LICENSE" "$folder/"
git -C "$source" describe --always --dirty --abbrev=40 >"$folder/COMMIT" 2>/dev/null || echo unknown >"$folder/COMMIT"

XZ_OPT="-6 -T2" tar -C "$out" -cJf "$folder.tar.xz" "$name"
echo "$folder.tar.xz: $(($(stat -c %s "$folder.tar.xz") / 1000000)) MB"
