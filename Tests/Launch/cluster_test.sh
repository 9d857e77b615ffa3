#!/usr/bin/env bash
# launch/local-cluster.sh: nodes that MPI takes for nodes, bytes that go over their links, and nothing left behind.
# shellcheck disable=SC2016  # words for awk and for shells inside
source "$(dirname "$0")/support.sh"
cluster=launch/local-cluster.sh

expect 2 'number of nodes, 1 to 99, not .0' $cluster 0 -- true
expect 2 '--rate must be like' $cluster 2 --rate fast -- true
expect 2 '--share must be a percentage' $cluster 2 --share 200 -- true
expect 2 'what is to run' $cluster 2
expect 2 'a command comes after --' $cluster 2 true
expect 2 'no_such_program is not on PATH' $cluster 2 -- no_such_program
if [ "$(id -u)" -ne 0 ]; then
  expect 2 'must be root' $cluster 2 -- true
  echo "SKIPPED, as this is not root: NO CLUSTER WAS MADE"
  exit 0
fi
if ! unshare --net --uts --ipc --pid --fork --mount-proc true 2>/dev/null; then
  expect 2 'the system forbids new namespaces' $cluster 2 -- true
  echo "SKIPPED, as the system forbids new namespaces: NO CLUSTER WAS MADE"
  exit 0
fi

mpicc -O1 -Wall -Werror -o "$work/nodes" Tests/Launch/nodes.c
# Two clusters at once: each with as many groups of shared memory as it has nodes, names and numbers in order.
$cluster 3 --rate 100mbit -- "$work/nodes" >"$work/other" 2>&1 &
other=$!
expect 0 '^4 ranks, 2 nodes, ' $cluster 2 --slots 2 --report -- "$work/nodes"
wait $other
cp "$work/output" "$work/first"
expect 0 '^rank 3: node2, 1 of 2 there$' cat "$work/first"
expect 0 '^3 ranks, 3 nodes, ' cat "$work/other"
# Eight messages of 1 MiB between the first and the last rank, four each way: each link has carried them, with headers.
expect 0 '^yes$' awk '/local-cluster.sh: node/ {
    nodes++
    for (i = 4; i <= 6; i += 2) if ($i < 4194304 || $i > 5000000) wrong = 1
  } END { print nodes == 2 && !wrong ? "yes" : "no" }' "$work/first"
# The limit holds: a link cannot be faster. How much slower it is depends on what else the machine does.
expect 0 '^yes$' awk '/ nodes, / { print $5 < 110 ? "yes" : "no: " $0 }' "$work/other"

# Directory, variables, input, exit code.
expect 0 "^$PWD a b\$" env FOO='a b' $cluster 1 -- sh -c 'echo "$PWD $FOO"'
expect 0 '^rank 0: words' sh -c "echo words | $cluster 1 -- sh -c 'read -r x && echo rank 0: \$x'"
expect 5 'ended with code 5' $cluster 2 -- sh -c 'exit 5'

# All are in one control group, and with --share each rank in one of its own; none is left. (Version 1, by root.)
if [[ $(grep -E '^[0-9]+:([^:]*,)?cpu(,[^:]*)?:' /proc/self/cgroup) == *:/ ]] &&
  mkdir "/sys/fs/cgroup/cpu/hadal-test-$$" 2>/dev/null; then
  rmdir "/sys/fs/cgroup/cpu/hadal-test-$$"
  for group in job rank1; do
    share=none
    [ $group = job ] || share=40
    expect 0 "/hadal-cluster-[0-9]*/$group\$" $cluster 2 --share $share -- cat /proc/self/cgroup
    name=$(grep -o 'hadal-cluster-[0-9]*' "$work/output" | head -n 1)
    [ ! -e "/sys/fs/cgroup/cpu/$name" ] || { echo "$name is left"; exit 1; }
  done
else
  echo "SKIPPED, as no control group of version 1 can be made at the root: that a cluster has one"
fi

# A signal reaches every node.
$cluster 2 -- "$work/waits" >"$work/job" 2>&1 &
job=$!
until_line 'rank 0' "$UP"
until_line 'rank 1' "$UP"
kill -TERM $job
code=0
wait $job || code=$?
expect 0 '^saved on node1$' cat "$work/job"
expect 0 '^saved on node2$' cat "$work/job"
expect 0 '^0$' echo $code

# After kill -9 no process of it lives; networks and mounts have no other holder.
mark=$((100000 + $$)).25
$cluster 2 -- sh -c "echo up >>$work/killed; sleep $mark" >/dev/null 2>&1 &
job=$!
until_line up "$work/killed"
expect 0 . pgrep -f "sleep $mark"
kill -KILL $job
wait $job 2>/dev/null || true
tries=50
while pgrep -f "sleep $mark" >/dev/null && [ $tries -gt 0 ]; do
  tries=$((tries - 1))
  sleep 0.1
done
expect 1 '^0$' pgrep -c -f "sleep $mark"
