#!/usr/bin/env bash
# A corpus that 2,000 steps of 4,096 tokens do not read once: the Collaborative International Dictionary of English
# (Debian's dict-gcide, 40 MB, public domain and GPL), an entry a document. Makes corpus/dictionary for fp8_loss.py.
#   benchmarks/dictionary.sh [HADAL]
set -euo pipefail
cd "$(dirname "$0")/.."
hadal=${1:-}
./launch/install.sh dict-gcide
if [ -z "$hadal" ]; then
  swift build -c release --product hadal
  hadal=$(swift build -c release --show-bin-path)/hadal
fi
text=$(mktemp -d)
trap 'rm -rf "$text"' EXIT
# The file is dictzip, which is gzip, with a few bytes that are not UTF-8. Entries stand between empty lines; no line of
# it is one percent sign.
zcat /usr/share/dictd/gcide.dict.dz | iconv -f UTF-8 -t UTF-8 -c | sed 's/^$/%/' >"$text/gcide.txt"
"$hadal" prepare --input "$text/gcide.txt" --separator % --vocab-size 4096 --held-out 0.02 \
  --output corpus/dictionary --overwrite
