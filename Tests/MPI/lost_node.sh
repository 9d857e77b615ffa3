#!/usr/bin/env bash
# A node that vanishes in the middle of a run: the job goes on without it, by itself.
#   Tests/MPI/lost_node.sh HADAL         the program
# Three nodes on this machine (launch/local-cluster.sh); the link of one is cut. The others start again from the last
# checkpoint, on two ranks, and have the losses of one rank; no sample is skipped or repeated. Needs root.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
launch=$here/../../launch
hadal=$(realpath "$1")
if [ "$(id -u)" -ne 0 ] || ! unshare --net --uts --ipc --pid --fork --mount-proc true 2>/dev/null; then
  echo "SKIPPED, as this is not root or the system forbids new namespaces: NO NODE WAS LOST"
  exit 0
fi
directory=$(mktemp -d)
job=''
# The cluster goes with the process that has made it.
end() {
  [ -z "$job" ] || { pkill -KILL -P "$job"; kill -KILL "$job"; wait "$job"; } 2>/dev/null || true
  rm -rf "$directory"
}
trap end EXIT
cd "$directory"
fail() {
  echo "lost_node.sh: $1:" >&2
  cat lost.log >&2
  exit 1
}

# Batches of 12 are divided by 3 and by 2 ranks; so are 6 experts.
cat >lost.yaml <<'YAML'
model: {vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
  q_lora_rank: null, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 8, n_routed_experts: 6,
  num_experts_per_tok: 2, moe_intermediate_size: 16, first_k_dense_replace: 1, max_position_embeddings: 32,
  initializer_range: 0.1}
data: {synthetic: true}
training: {steps: 24, sequence_length: 32, micro_batch_size: 1, global_batch_size: 12, bias_update_speed: 0.01,
  threads: 1}
learning_rate: {phases: [{shape: constant, to: 1.0e-3}]}
precision: {mode: float32}
checkpoint: {every: 3}
YAML
"$hadal" train lost.yaml --set run.name=one >one.log 2>&1 || {
  cat one.log >&2
  exit 1
}

# A link so slow that a step takes a while; a daemon that is silent for 5 s is given up.
timeout 600 "$launch/local-cluster.sh" 3 --rate 10mbit --max-restarts 1 --mca oob_tcp_keepalive_time 3 \
  --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 -- "$hadal" train lost.yaml >lost.log 2>&1 &
job=$!
tries=2400
until grep -q '"step":8,' runs/lost/metrics.jsonl 2>/dev/null; do
  kill -0 $job 2>/dev/null || fail "the job ended before its eighth step"
  tries=$((tries - 1))
  [ $tries -gt 0 ] || fail "no eighth step after 120 s"
  sleep 0.05
done
# The first process inside has the switch.
if ! { script=$(pgrep -P $job) && outside=$(pgrep -P "$script") && inside=$(pgrep -P "$outside") &&
  nsenter --target "$inside" --net ip link delete port3; }; then
  fail "the link of a node could not be cut"
fi
code=0
wait $job || code=$?
job=''
[ "$code" = 0 ] || fail "the job ended with code $code"
grep -q 'left out, as the remote shell gives no answer within 10 s: node3$' lost.log || fail "no word of the lost node"
grep -q 'goes on with 2 ranks instead of 3, on node1,node2$' lost.log || fail "no word of the ranks that are left"
last=$(sed -n 's/.*resumed from .*step-\([0-9]*\) after.*/\1/p' lost.log)
[ -n "$last" ] || fail "no word of a checkpoint that it goes on from"
[ -e runs/lost/checkpoints/step-24/rank-00001-of-00002.safetensors ] || fail "the last checkpoint is not of two ranks"

# Each step once, with the loss of one rank; the position in the data is that of one rank, whose batches are the same.
steps() {
  sed -n 's/.*"kind":"step","step":\([0-9]*\),"tokens":\([0-9]*\),"loss":\([0-9.]*\),.*/\1 \2 \3/p' \
    "runs/$1/metrics.jsonl"
}
position() { grep -o '"next_sample": [0-9]*' "runs/$1/checkpoints/step-24/manifest.json"; }
paste -d' ' <(steps lost) <(steps one) | awk -v last="$last" '
  { off = ($3 - $6) / $6; if (off < 0) off = -off }
  $1 != NR || $4 != NR || $2 != $5 || !(off < 1e-6) { print "step " NR " is " $0; wrong = 1 }
  $1 > last && off > most { most = off }
  END {
    print "the node was lost after step " last ", losses then are within " most " of those of one rank"
    exit NR != 24 || wrong
  }' || fail "the steps are not those of one rank"
[ "$(position lost)" = "$(position one)" ] || fail "$(position lost), of one rank $(position one)"
echo "a run goes on without a node that has vanished"
