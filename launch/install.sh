#!/usr/bin/env bash
# Installs the system packages that Hadal needs on Debian: what the other scripts call first.
#   launch/install.sh [PACKAGE …]      further packages to install with them
set -euo pipefail

# What the Swift package manager needs to fetch, compile and link (a toolchain from a tar file comes without), and
# Open MPI, whose headers pkg-config finds.
packages=(
  git ca-certificates libc6-dev libstdc++-12-dev binutils zlib1g-dev libcurl4 libncurses6 libsqlite3-0 libxml2
  libopenmpi-dev openmpi-bin pkg-config "$@")
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done

if ! command -v swift >/dev/null; then
  echo "swift is not on PATH: install a Swift 6.3 toolchain (https://www.swift.org/install/linux)" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "please install as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
  >/dev/null
