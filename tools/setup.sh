#!/usr/bin/env bash
# Installs what building and testing Duel needs on Debian 12, or says what is missing. Safe to run again.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config                      # build
  libdnnl-dev ocl-icd-opencl-dev                        # convolutions and products; what oneDNN's package asks for
  libfmt-dev nlohmann-json3-dev libcli11-dev            # text, JSON, command line
  zlib1g-dev libcairo2-dev libstb-dev fonts-dejavu-core  # gzip, charts and their font, PNG writer
  libpng-dev libjpeg62-turbo-dev                        # pictures of data sets
  libeigen3-dev                                         # eigenvalues and linear systems of duel evaluate
  doctest-dev                                            # tests
)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "setup: these packages are missing and need root to install: apt-get install ${missing[*]}" >&2
  exit 2
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
