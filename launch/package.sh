#!/usr/bin/env bash
# Makes a directory that runs on nodes without Swift, and a tar file of it: copy it to each node, to the same path.
#   launch/package.sh [--output DIRECTORY] [--no-build]     default: .build-package; --no-build: what was built there
# The Swift runtime and Foundation are linked in. From the node come the C and C++ libraries, at least as new as here,
# and libmpi, as it must be the one that fits the cluster's network and scheduler. At the end the package is tried as a
# node would run it: no variables, and, as root, with this machine's toolchain hidden.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

fail() {
  echo "package.sh: $1" >&2
  exit 1
}
output=.build-package build=yes
while [ $# -gt 0 ]; do
  case $1 in
    --output)
      [ $# -ge 2 ] || fail "--output needs a directory"
      output=$2
      shift
      ;;
    --no-build) build=no ;;
    *) fail "there is no option $1 (--output DIRECTORY, --no-build)" ;;
  esac
  shift
done

# A build of its own: objects for a shared runtime and for one linked in do not mix.
[ $build = no ] || swift build -c release --product hadal --static-swift-stdlib --scratch-path .build-package
binary=.build-package/release/hadal
[ -x $binary ] || fail "there is no $binary: run this without --no-build"

version=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || version+=-changed
name=hadal-$version-$(uname -m)
package=$output/$name
rm -rf "$package"
mkdir -p "$package/bin" "$package/launch"
# Symbols stay, for the traces of a crash.
strip --strip-debug -o "$package/bin/hadal" $binary
cp launch/mpirun.sh launch/hosts.sh launch/slurm.sbatch "$package/launch/"
cp -r configs README.md "$package/"

# --- What it needs at run time: from what the file says, not from where this machine has found it --------------------

needed=$(readelf -d "$package/bin/hadal" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for library in $needed; do
  case $library in
    libc.so.* | libm.so.* | libgcc_s.so.* | libstdc++.so.* | ld-linux*) ;;
    libmpi.so.*) ;;
    *) fail "the binary needs $library, which a node may not have: link it in, or name it here with its reason" ;;
  esac
done
path=$(readelf -d "$package/bin/hadal" | sed -n 's/.*R[A-Z]*PATH.*\[\(.*\)\]/\1/p')
# shellcheck disable=SC2016  # the loader's word, not a variable
[ -z "$path" ] || [ "$path" = '$ORIGIN' ] || fail "the binary looks for libraries in $path, which nodes do not have"
# The newest version of symbols that begin with $1.
newest() { objdump -T "$package/bin/hadal" | grep -oE "$1_[0-9.]+" | sort -uV | tail -n 1; }
required="$(newest GLIBC), $(newest GLIBCXX)"

# --- As a node would run it ------------------------------------------------------------------------------------------

# A model, forward and backward: libraries, kernels, files.
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
oracle=$PWD/Tests/Oracle/tiny_a
run=(env -i PATH=/usr/bin:/bin "$(realpath "$package")/bin/hadal" probe --model "$oracle" --gradients
  --input "$oracle/oracle.safetensors" --output "$trial/out.safetensors")
hidden=''
if [ "$(id -u)" -eq 0 ] && command -v swift >/dev/null && unshare --mount true 2>/dev/null; then
  hidden=$(dirname "$(dirname "$(realpath "$(command -v swift)")")")
  # A toolchain of the system, in /usr, cannot be hidden as a whole.
  [ "$hidden" != /usr ] || hidden=/usr/lib/swift
fi
if [ -n "$hidden" ] && [ -d "$hidden" ]; then
  mkdir "$trial/empty"
  # shellcheck disable=SC2016  # for the shell inside
  unshare --mount sh -c 'mount --bind "$1" "$2" && [ -z "$(ls "$2")" ] && shift 2 && exec "$@"' sh \
    "$trial/empty" "$hidden" "${run[@]}" >"$trial/log" 2>&1 ||
    { cat "$trial/log" >&2; fail "the package does not run with $hidden hidden"; }
  echo "tried with $hidden hidden"
else
  "${run[@]}" >"$trial/log" 2>&1 || { cat "$trial/log" >&2; fail "the package does not run without variables"; }
  echo "tried without variables; NOT tried with the toolchain hidden, which takes root"
fi
[ -s "$trial/out.safetensors" ] || fail "the trial wrote no result"

# Same files, same bytes: no dates, owners or order of this machine.
tar -C "$output" --sort=name --owner=0 --group=0 --numeric-owner --mtime='2000-01-01 UTC' -cf - "$name" |
  gzip -n >"$package.tar.gz"
echo "$package ($(du -sh "$package" | cut -f1)), $package.tar.gz ($(du -h "$package.tar.gz" | cut -f1))"
echo "a node must have: $(tr '\n' ' ' <<<"$needed")($required or newer)"
