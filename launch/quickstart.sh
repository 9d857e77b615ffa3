#!/usr/bin/env bash
# From a fresh clone to a trained model: installs, builds, prepares a corpus, trains, evaluates, prints samples.
#   launch/quickstart.sh
# About eight minutes on two cores, of which training is three. What it makes is in corpus/fortunes and runs/quickstart;
# run it again and it goes on from where it was.
set -euo pipefail
# Numbers with a decimal point, whatever the language of the machine is.
export LC_ALL=C
cd "$(dirname "$0")/.."

corpus=corpus/fortunes
run=runs/quickstart

# Bits per byte of $1 when the compressor's output is $2 bytes long.
bits_per_byte() { awk -v bytes="$1" -v compressed="$2" 'BEGIN { printf "%.3f", 8 * compressed / bytes }'; }

# The number of this name in the evaluation.
measured() {
  local number
  number=$(sed -n "s/.*\"$1\": \([0-9][0-9.e+-]*\).*/\1/p" "$run/evaluation.json")
  [ -n "$number" ] || {
    echo "quickstart: $run/evaluation.json has no number $1" >&2
    return 1
  }
  echo "$number"
}

echo "== 1/5  system packages"
./launch/install.sh fortunes fortune-mod bzip2 xz-utils

echo "== 2/5  build"
swift build -c release --product hadal
hadal=$(swift build -c release --show-bin-path)/hadal

echo "== 3/5  corpus: the documents of Debian's fortunes, 5 % of them held out"
if [ ! -f "$corpus/corpus.json" ]; then
  # --overwrite: without corpus.json the directory holds at most what an interrupted preparation has left.
  "$hadal" prepare --input /usr/share/games/fortunes --separator % --skip-extension dat --vocab-size 4096 \
    --held-out 0.05 --output "$corpus" --overwrite
fi

echo "== 4/5  training (Ctrl-C saves a checkpoint; the same command goes on from there)"
"$hadal" train configs/quickstart.yaml

echo "== 5/5  held-out text that the model has never seen"
# The model pays for the end of each document too, and only the bytes of the documents count for it; the compressors'
# bytes include the separator lines. So the comparison is, if anything, against the model.
"$hadal" evaluate --checkpoint "$run" --json >"$run/evaluation.json"
bytes=$(measured bytes)
model=$(measured bits_per_byte)
text=$(wc -c <"$corpus/validation.txt")
bzip2=$(bits_per_byte "$text" "$(bzip2 -9 -c "$corpus/validation.txt" | wc -c)")
# xz after the training text: how much longer the compressed file gets when the held-out text is appended.
before=$(xz -9 -c "$corpus/train.txt" | wc -c)
after=$(cat "$corpus/train.txt" "$corpus/validation.txt" | xz -9 -c | wc -c)
xz=$(bits_per_byte "$text" "$((after - before))")
cat <<EOF
  bits per byte, $bytes bytes of held-out documents:
    this model                         $(printf '%.3f' "$model")
    bzip2 -9                           $bzip2
    xz -9, after the training text     $xz   (the mark for a longer run)
EOF

echo
echo "Three fortunes, made up:"
for seed in 1 2 3; do
  echo "--- seed $seed"
  "$hadal" generate --checkpoint "$run" --prompt "" --tokens 80 --temperature 0.8 --top-p 0.95 --seed "$seed"
done

cat <<EOF

Where to look next:
  $run/metrics.jsonl       every step; tensorboard --logdir runs shows the same
  configs/quickstart.yaml  the model and the recipe, to change
  docs/your-own-text.md    train on your own text
EOF
if awk -v a="$model" -v b="$bzip2" 'BEGIN { exit !(a < b) }'; then exit 0; fi
echo "quickstart: the model ($model bits per byte) does not beat bzip2 -9 ($bzip2)" >&2
exit 1
