# shellcheck shell=bash
# What the tests of the launch scripts share; they source it. A failed check prints what was found and ends the test.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE REGEX COMMAND…: the exit code, and an extended expression that a line of its output matches.
expect() {
  local code=$1 pattern=$2 found=0
  shift 2
  "$@" >"$work/output" 2>&1 || found=$?
  if [ "$found" -ne "$code" ] || ! grep -qE -- "$pattern" "$work/output"; then
    {
      echo "FAILED ${BASH_SOURCE[1]}:${BASH_LINENO[0]}: $*"
      echo "  wanted code $code and a line like: $pattern"
      echo "  found code $found and:"
      sed 's/^/    /' "$work/output"
    } >&2
    exit 1
  fi
}

# until_line REGEX FILE: waits for such a line, 30 s at most.
until_line() {
  local tries=300
  until grep -qE -- "$1" "$2" 2>/dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || {
      echo "FAILED ${BASH_SOURCE[1]}:${BASH_LINENO[0]}: no line like $1 in $2 after 30 s:" >&2
      cat "$2" >&2
      exit 1
    }
    sleep 0.1
  done
}

# shellcheck disable=SC2034  # the tests use it
as_root=()
# shellcheck disable=SC2034
[ "$(id -u)" -ne 0 ] || as_root=(--allow-run-as-root)
# A program that says where it runs, and on SIGUSR1 that it has saved. $work/up gets a line when it waits.
cat >"$work/waits" <<'EOF'
#!/usr/bin/env bash
trap 'echo "saved on $(hostname)"; exit 0' USR1
echo "rank $OMPI_COMM_WORLD_RANK up" >>"$UP"
for _ in $(seq 300); do sleep 0.1; done
exit 9
EOF
chmod +x "$work/waits"
export UP=$work/up
