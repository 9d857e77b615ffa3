#!/usr/bin/env python3
"""The makespan of a pipeline's steps beside the simulator's prediction from the times that its actions took. Needs root.

  benchmarks/predicted_makespan.py [--share 50] [--schedules 1f1b zb1p dualpipe dualpipev]

Four nodes of one rank are made on this machine (launch/local-cluster.sh), without a limit on their links, each with
`--share` percent of a core: as many as let every rank compute as if it were alone, so 50 on two cores. The prediction
takes messages for free. Prints medians over the steps but the first, and fails where they are further apart than 10 %.
"""
import argparse
import shutil
import statistics
import sys
import tempfile

import programs

LIMIT = 0.10
SETTINGS = ["data={synthetic: true}", "model.vocab_size=1024", "model.num_hidden_layers=7", "precision.mode=bfloat16",
            "evaluation.every=null", "checkpoint.every=null", "checkpoint.on_exit=false",
            "training.micro_batch_size=4", "training.global_batch_size=64"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--schedules", nargs="+", default=["1f1b", "zb1p", "dualpipe", "dualpipev"])
    parser.add_argument("--share", default="50", help="percent of a core, for each rank")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all runs")
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    arguments = parser.parse_args()
    hadal, directory = programs.hadal(arguments.hadal), tempfile.mkdtemp()
    print(f"{'schedule':12}{'measured s':>12}{'predicted s':>12}{'ratio':>8}{'bubble':>8}")
    ratios = []
    for schedule in arguments.schedules:
        steps = programs.train_on_cluster(
            hadal, ["4", "--rate", "none", "--share", arguments.share], arguments.config, directory,
            SETTINGS + [f"training.steps={arguments.steps}", f"parallel={{pipeline: 4, schedule: {schedule}}}"]
            + arguments.set)[1:]
        median = {key: statistics.median(step[key] for step in steps)
                  for key in ("makespan_seconds", "predicted_makespan_seconds", "bubble_fraction")}
        ratios.append(statistics.median(s["makespan_seconds"] / s["predicted_makespan_seconds"] for s in steps))
        print(f"{schedule:12}{median['makespan_seconds']:12.2f}{median['predicted_makespan_seconds']:12.2f}"
              f"{ratios[-1]:8.3f}{median['bubble_fraction']:8.2f}", flush=True)
    shutil.rmtree(directory)
    sys.exit(0 if all(abs(ratio - 1) <= LIMIT for ratio in ratios) else 1)


if __name__ == "__main__":
    main()
