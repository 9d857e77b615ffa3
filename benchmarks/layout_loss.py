#!/usr/bin/env python3
"""Loss of four ranks beside that of one: the same recipe, seeds and batches, 200 steps.

  benchmarks/layout_loss.py [--config configs/quickstart.yaml] [--steps 200] [--seeds 0 1 2 3]
                            [--layout "{data: 4, expert: 4}"] [--micro-batch-size 2] [--set key=value …]

The corpus of the recipe must be there (./launch/quickstart.sh makes that of configs/quickstart.yaml). Sums in another
order make runs part ways at a high rate, so one pair of runs says little: for each seed one rank runs twice, with the
recipe's micro-batches and with those of the layout's ranks, which differ in nothing but the order of sums, and the layout
once. Prints the gap to the first, of the last step's loss and of that of held-out documents, and their means. A run that
is complete is not done again.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import programs


def run(hadal, arguments, name, seed, settings, ranks=1):
    """The last step's loss and that of held-out documents."""
    settings = settings + [
        f"run.directory={arguments.runs}", f"run.name={name}-{seed}", f"training.seed={seed}",
        f"training.steps={arguments.steps}", f"evaluation.every={arguments.steps}"] + arguments.set
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    command = mpirun + [hadal, "train", arguments.config] + [part for s in settings for part in ("--set", s)]
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=programs.ROOT, stdout=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"ended with exit code {done.returncode}")
    path = os.path.join(programs.ROOT, arguments.runs, f"{name}-{seed}", "metrics.jsonl")
    with open(path) as file:
        records = [json.loads(line) for line in file]
    return tuple(
        [record["loss"] for record in records if record["kind"] == kind][-1] for kind in ("step", "evaluation"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--layout", default="{data: 4, expert: 4}", help="the value of parallel")
    parser.add_argument("--ranks", type=int, default=4, help="of the layout")
    parser.add_argument("--micro-batch-size", type=int, default=2, help="of each rank of the layout")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all runs")
    parser.add_argument("--runs", default="runs/layout-loss", help="where the runs are kept")
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    arguments = parser.parse_args()
    hadal = programs.hadal(arguments.hadal)
    micro = f"training.micro_batch_size={arguments.micro_batch_size}"
    print("| seed | one rank | other sums: last step | held-out | layout: last step | held-out |\n|---|---|---|---|---|---|")
    gaps = []
    for seed in arguments.seeds:
        base = run(hadal, arguments, "one", seed, [])
        others = [
            run(hadal, arguments, "sums", seed, [micro]),
            run(hadal, arguments, "layout", seed, [micro, f"parallel={arguments.layout}", "training.threads=1"],
                arguments.ranks)]
        gaps.append([100 * (loss / first - 1) for other in others for loss, first in zip(other, base)])
        print(f"| {seed} | {base[0]:.4f} | " + " | ".join(f"{gap:+.2f} %" for gap in gaps[-1]) + " |", flush=True)
    means = [statistics.mean(column) for column in zip(*gaps)]
    print("| mean | | " + " | ".join(f"{mean:+.2f} %" for mean in means) + " |")
    within = sum(abs(row[2]) <= 0.5 for row in gaps)
    print(f"\nlast step of {arguments.layout} within 0.5 %: {within} of {len(gaps)} seeds")


if __name__ == "__main__":
    main()
