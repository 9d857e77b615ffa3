#!/usr/bin/env bash
# Trains and verifies layouts of ranks under mpirun.
#   Tests/MPI/layouts.sh HADAL         the program
# Each layout does the same steps as one rank: every gradient and parameter is compared, in each precision. Then a run
# goes on with other numbers of ranks than it began with.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
hadal=$(realpath "$1")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
# More ranks than processors, and root in a container, are what a test may meet.
ranks() { timeout 300 mpirun --allow-run-as-root --oversubscribe -n "$@"; }

# Documents of 1 to 60 words.
awk 'BEGIN {
  split("the sea is deep and light goes down where no one looks for it while small fish carry their own lamps", word)
  for (d = 0; d < 300; d++) {
    count = 1 + (d * d * 7) % 60
    for (i = 0; i < count; i++) printf "%s ", word[1 + (d * 31 + i * i * 5 + i) % 20]
    printf "%d.\n%%\n", d
  }
}' >documents.txt
"$hadal" prepare --input documents.txt --separator % --vocab-size 300 --output corpus >/dev/null

layouts=("1 2 1" "1 2 2" "1 4 4" "1 8 2")
pipelines=("2 1 1 1f1b" "2 1 1 dualpipe" "2 1 1 dualpipev" "4 1 1 dualpipe" "4 1 1 dualpipev" "2 2 2 dualpipe"
  "2 2 2 dualpipev" "2 2 1 zb1p")
for layout in "${layouts[@]}" "${pipelines[@]}"; do
  read -r pipeline data expert schedule <<<"$layout"
  parallel="{pipeline: $pipeline, data: $data, expert: $expert${schedule:+, schedule: $schedule}}"
  for mode in float32 bfloat16 fp8; do
    echo "-- $parallel, $mode"
    ranks $((pipeline * data)) "$hadal" verify "$here/layouts.yaml" --set "parallel=$parallel" \
      --set precision.mode="$mode"
  done
done

echo "-- a run that goes on with other ranks"
train() { # RANKS, SETTINGS…
  ranks "$1" "$hadal" train "$here/layouts.yaml" "${@:2}" >train.log 2>&1 || {
    cat train.log
    exit 1
  }
}
loss() { # RUN, STEP
  sed -n "s/.*\"kind\":\"step\",\"step\":$2,.*\"loss\":\([0-9.]*\).*/\1/p" "runs/$1/metrics.jsonl"
}
train 4 --set training.steps=3
train 4 --set training.steps=4 --set "parallel={pipeline: 2, expert: 2}"
train 2 --set training.steps=5 --set "parallel={pipeline: 2, schedule: 1f1b}"
train 1
train 1 --set run.name=one
awk -v a="$(loss layouts 6)" -v b="$(loss one 6)" 'BEGIN {
  print "loss of step 6: " a " with four layouts, " b " with one rank"
  exit !(a > 0 && b > 0 && (a - b) ^ 2 < (1e-5 * b) ^ 2)
}'

echo "-- a rank that is killed: the job starts again from its last checkpoint, and ends with the same bits"
long=(--set training.steps=60 --set checkpoint.every=2 --set evaluation.every=null
  --set "parallel={pipeline: 2, schedule: dualpipe}")
train 2 --set run.name=calm "${long[@]}"
"$here/../../launch/mpirun.sh" --allow-run-as-root --oversubscribe -n 2 --max-restarts 3 --program "$hadal" -- \
  train "$here/layouts.yaml" --set run.name=killed "${long[@]}" >killed.log 2>&1 &
job=$!
for step in 9 25; do
  for _ in $(seq 300); do
    if grep -q "\"step\":$step," runs/killed/metrics.jsonl 2>/dev/null; then break; fi
    sleep 0.02
  done
  pkill -KILL -n -f "^$hadal train .*run.name=killed" || true
done
code=0
wait $job || code=$?
if [ "$code" != 0 ] || ! grep -q 'started again, 1 of' killed.log || ! grep -q 'resumed from' killed.log ||
  [ -z "$(loss killed 60)" ] || [ "$(loss killed 60)" != "$(loss calm 60)" ]; then
  echo "layouts.sh: a killed run ended with code $code, loss '$(loss killed 60)', not '$(loss calm 60)':" >&2
  cat killed.log >&2
  exit 1
fi

echo "-- a rank of a pipeline that stops: the other says what it waits for, at which action"
# With so many micro-batches nearly all of a step is the pipeline's.
ranks 2 "$hadal" train "$here/layouts.yaml" --set run.name=hang --set training.steps=1000000 \
  --set training.global_batch_size=1024 \
  --set "parallel={pipeline: 2, schedule: dualpipe}" --set communication.timeout=2 \
  --set evaluation.every=null --set checkpoint.every=null >hang.log 2>&1 &
job=$!
for _ in $(seq 100); do
  if grep -q '"step":1,' runs/hang/metrics.jsonl 2>/dev/null; then break; fi
  sleep 0.1
done
sleep 0.1
pkill -STOP -n -f 'run.name=hang'
code=0
wait $job || code=$?
if [ "$code" = 0 ] || ! grep -qE 'at action [0-9]+ of [0-9]+ of dualpipe, ' hang.log ||
  ! grep -qE 'for stage [01] \(after its action [0-9]+, [A-Z0-9.&]+\), micro-batch' hang.log; then
  echo "layouts.sh: no word of where a pipeline hangs, code $code:" >&2
  cat hang.log >&2
  exit 1
fi

# What cannot be divided is refused, with a code of 2 and the names of what does not fit.
refuses() { # RANKS, TEXT, SETTINGS…
  local output code=0
  output=$(ranks "$1" "$hadal" train "$here/layouts.yaml" --set run.name=refused "${@:3}" 2>&1) || code=$?
  if [ "$code" != 2 ] || ! grep -qF -- "$2" <<<"$output"; then
    echo "layouts.sh: expected a refusal that says '$2', found code $code:" >&2
    echo "$output" >&2
    exit 1
  fi
}
refuses 2 "parallel.data (4) is 4, but 2 ranks were started" --set parallel.data=4
refuses 3 "must be a multiple of training.micro_batch_size × data ranks (1 × 3)"
refuses 2 "expert (16) must divide model.n_routed_experts (8)" --set parallel.expert=16
echo "what cannot be divided is refused"
