#!/usr/bin/env python3
"""Loss in FP8 beside bfloat16: two runs of one recipe with the same seed and data, and the gap of their smoothed losses.

  benchmarks/fp8_loss.py [--config configs/quickstart.yaml] [--steps 2000] [--set key=value …]

The corpus of the recipe must be there (./launch/quickstart.sh makes that of configs/quickstart.yaml). Both losses are
smoothed by an exponential moving average, L ← 0.9 L + 0.1 loss, as in DeepSeek-V3's appendix B.1; the gap is
(FP8 − bfloat16) / bfloat16. Prints a table, and says the largest gap from step 200 on: the limit is 0.25 %. The runs go
on from their checkpoints when the script is interrupted and called again; --read DIR only reads two runs.
"""
import argparse
import json
import os
import subprocess
import sys

import programs

MODES = ["bfloat16", "fp8"]
FIRST, LIMIT = 200, 0.25


def smoothed(path):
    """The smoothed loss by step, and the parameters of the last line's step."""
    losses, average = {}, None
    with open(path) as file:
        for line in file:
            record = json.loads(line)
            if record["kind"] != "step" or record["loss"] is None:
                continue
            average = record["loss"] if average is None else 0.9 * average + 0.1 * record["loss"]
            losses[record["step"]] = average
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for both runs")
    parser.add_argument("--runs", default="runs/fp8-loss", help="where the two runs are kept")
    parser.add_argument("--read", metavar="DIR", help="train nothing: DIR holds the runs bfloat16 and fp8")
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    arguments = parser.parse_args()
    runs = arguments.read or arguments.runs
    if not arguments.read:
        hadal = programs.hadal(arguments.hadal)
        for mode in MODES:
            settings = [f"run.directory={runs}", f"run.name={mode}", f"precision.mode={mode}",
                        f"training.steps={arguments.steps}", "evaluation.every=null"] + arguments.set
            command = [hadal, "train", arguments.config] + [part for s in settings for part in ("--set", s)]
            print("+ " + " ".join(command), file=sys.stderr, flush=True)
            done = subprocess.run(command, cwd=programs.ROOT, stdout=sys.stderr)
            if done.returncode != 0:
                sys.exit(f"hadal train ended with exit code {done.returncode}")
    directory = os.path.join(programs.ROOT, runs)
    base, other = (smoothed(os.path.join(directory, mode, "metrics.jsonl")) for mode in MODES)
    steps = sorted(set(base) & set(other))
    if len(steps) < FIRST:
        sys.exit(f"only {len(steps)} common steps in {directory}; the table begins at step {FIRST}")
    gaps = {step: 100 * (other[step] - base[step]) / base[step] for step in steps}
    every = max(100, steps[-1] // 10 // 100 * 100)
    print("| step | bfloat16 | FP8 | gap |\n|---|---|---|---|")
    for step in steps:
        if step in (FIRST, steps[-1]) or step % every == 0:
            print(f"| {step} | {base[step]:.4f} | {other[step]:.4f} | {gaps[step]:+.3f} % |")
    late = [gaps[step] for step in steps if step >= FIRST]
    largest = max(late, key=abs)
    mean = sum(late) / len(late)
    print(f"\nfrom step {FIRST} on: mean gap {mean:+.3f} %, largest {largest:+.3f} %, limit {LIMIT} %: "
          f"{sum(abs(gap) < LIMIT for gap in late)} of {len(late)} steps within it")


if __name__ == "__main__":
    main()
