#!/usr/bin/env bash
# Two nodes of four ranks: what the exchange of tokens sends between nodes, in one level and in two, in bfloat16 and FP8.
#   Tests/MPI/exchange.sh HADAL          the program
# Rows go to known places and must come back as the sums that they should be (hadal bench exchange checks that). Bytes are
# counted, times are not looked at. Needs root.
set -euo pipefail
export LC_ALL=C
launch=$(cd "$(dirname "$0")/../../launch" && pwd)
hadal=$(realpath "$1")
if [ "$(id -u)" -ne 0 ] || ! unshare --net --uts --ipc --pid --fork --mount-proc true 2>/dev/null; then
  echo "SKIPPED, as this is not root or the system forbids new namespaces: NO BYTES BETWEEN NODES WERE COUNTED"
  exit 0
fi
timeout 300 "$launch/local-cluster.sh" 2 --slots 4 --rate none -- \
  "$hadal" bench exchange --tokens 64 --hidden 2048 --top-k 8 --payload bfloat16 fp8 --json |
  python3 -c '
import json, sys
text = sys.stdin.read()
report = json.loads(text[text.index("{"):text.rindex("}") + 1])
assert report["ranks"] == 8 and len(set(report["nodes"])) == 2, report["nodes"]
found = {(r["operation"], r["levels"], r["payload"]): r for r in report["results"]}
for payload in ("bfloat16", "fp8"):
    for operation in ("dispatch", "combine"):
        one, two = (found[operation, levels, payload] for levels in ("one", "two"))
        between = two["bytes_per_token_between_nodes"]
        # A row for each other node that the token goes to, but for the counts and experts beside it: under 1 %.
        rows = two["other_nodes_per_token"] * two["row_bytes"]
        assert rows * 0.99 <= between <= rows * 1.01, (operation, payload, between, rows)
        assert between <= 0.5 * one["bytes_per_token_between_nodes"], (operation, payload, one, two)
for levels in ("one", "two"):
    codes, numbers = (found["dispatch", levels, p]["bytes_per_token_between_nodes"] for p in ("fp8", "bfloat16"))
    assert codes <= 0.53 * numbers, (levels, codes, numbers)
    print(f"{levels}-level dispatch: {numbers:.0f} bytes a token between nodes in bfloat16, {codes:.0f} in FP8")
'
