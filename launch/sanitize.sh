#!/usr/bin/env bash
# Runs the tests of kernels and gradients under tools that see faults of memory and races of threads.
#   launch/sanitize.sh [address|thread|valgrind …]     default: address and thread, and valgrind where it is installed
# Not part of test.sh: each sanitizer builds everything anew (in .build-address, .build-thread). Levels: the
# sanitizers take all that this processor has, AMX tiles excepted, whose loads they do not see (the emulated level
# has the same loops in C); valgrind runs what it can decode, avx2 and portable. Leaks are not looked for: the Swift
# runtime keeps its metadata until the end of the process. The rest counts: any report fails.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

# SANITIZE_TESTS: another filter. WorkerPoolTests|DeterminismTests|MatrixMultiplyTests|GatedProductsTests reaches every
# loop of the kernels in a few minutes.
tests=${SANITIZE_TESTS:-TensorsTests|AutogradTests}

# Bounds: a build with AddressSanitizer gives every block exactly the bytes asked for (see MemoryPool).
address() {
  local options=(--sanitize=address --scratch-path .build-address)
  export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1
  swift build --build-tests "${options[@]}"
  swift test --skip-build "${options[@]}" --filter "$tests"
}

# Races: with memory that is recycled, as in earnest.
thread() {
  local options=(--sanitize=thread --scratch-path .build-thread)
  export TSAN_OPTIONS=halt_on_error=0:exitcode=66
  swift build --build-tests "${options[@]}"
  swift test --skip-build "${options[@]}" --filter "$tests"
}

# What was never written, and bounds once more: a tiny model, forward and backward. The tests themselves would take
# hours.
valgrind_() {
  swift build --product hadal
  local hadal oracle=Tests/Oracle/tiny_a level precision
  output=$(mktemp -d)
  trap 'rm -rf "$output"' EXIT
  # Without its debug information, which valgrind 3.19 gives up on.
  hadal=$output/hadal
  strip --strip-debug -o "$hadal" "$(swift build --show-bin-path)/hadal"
  # The Swift runtime lays out generic types from bits that it has not all written; nothing of ours is excused.
  printf '{\n  swift-metadata\n  Memcheck:Cond\n  fun:swift_initStructMetadata\n}\n' >"$output/swift.supp"
  for level in avx2 portable; do
    for precision in float32 bfloat16; do
      echo "-- $level, $precision"
      HADAL_POOL=plain HADAL_ISA=$level valgrind -q --error-exitcode=9 --fair-sched=yes \
        --suppressions="$output/swift.supp" "$hadal" probe \
        --model "$oracle" --input "$oracle/oracle.safetensors" --output "$output/$level.$precision.safetensors" \
        --precision "$precision" --gradients
    done
  done
}

tools=("$@")
if [ ${#tools[@]} -eq 0 ]; then
  tools=(address thread)
  ! command -v valgrind >/dev/null || tools+=(valgrind)
fi
for tool in "${tools[@]}"; do
  case $tool in
    address | thread | valgrind) ;;
    *)
      echo "sanitize.sh: $tool is none of address, thread, valgrind" >&2
      exit 2
      ;;
  esac
done
for tool in "${tools[@]}"; do
  echo "== $tool"
  case $tool in
    valgrind) valgrind_ ;;
    *) "$tool" ;;
  esac
done
