#!/usr/bin/env python3
"""How much of the exchange between ranks is hidden behind computation, on nodes with slow links. Needs root.

  benchmarks/hidden_exchange.py                                        two nodes, experts on both
  benchmarks/hidden_exchange.py --nodes 4 --pipeline 2 --share 50      pipeline 2 x expert 2, on two cores

Nodes are made on this machine (launch/local-cluster.sh). First a run without a limit on the links and without overlap:
its computation takes so long, and so many bytes of rows leave a node. The links are then made as slow as lets these
bytes travel in `--ratio` times the time of the computation, and the same steps run with `parallel.overlap` false and
true; with a pipeline, by 1F1B and by DualPipe. Prints the seconds of a step that were exposed (nothing was computed
because a rank waited), by what was waited for, each of the rank that waited longest, as medians over the steps but the
first; and whether the runs have the same losses, bit for bit (with a pipeline: those of the first step, before
gradients have been summed in another order). `--share` gives each rank so many percent of a core, where ranks share
cores: the time in which one waits would else make another faster.
"""
import argparse
import shutil
import statistics
import sys
import tempfile

import programs

EXCHANGE = ["dispatch", "combine"]
KINDS = EXCHANGE + ["gradients", "parameters", "activations", "control"]
MODEL = ["data={synthetic: true}", "model.vocab_size=2048", "precision.mode=bfloat16", "evaluation.every=null",
         "checkpoint.every=null", "checkpoint.on_exit=false", "logging.every=1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--slots", type=int, default=1, help="ranks on each node")
    parser.add_argument("--pipeline", type=int, default=1, help="stages; experts are spread over the other ranks")
    parser.add_argument("--share", default="none", help="percent of a core, for each rank")
    parser.add_argument("--ratio", type=float, default=1, help="time of the exchange, in that of the computation")
    parser.add_argument("--rate", type=int, metavar="MBIT", help="of the links, instead of --ratio")
    parser.add_argument("--micro-batches", type=int, default=16, help="of each rank in a step")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all runs")
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    parser.add_argument("--json", metavar="FILE", help="also write everything that was measured")
    arguments = parser.parse_args()
    hadal, directory = programs.hadal(arguments.hadal), tempfile.mkdtemp()
    data = arguments.nodes * arguments.slots // arguments.pipeline

    def run(rate, overlap):
        schedule = "dualpipe" if overlap == "true" else "1f1b"
        pipeline = f"pipeline: {arguments.pipeline}, schedule: {schedule}, " if arguments.pipeline > 1 else ""
        return programs.train_on_cluster(
            hadal, [str(arguments.nodes), "--slots", str(arguments.slots), "--rate", rate, "--share", arguments.share],
            arguments.config, directory,
            MODEL + [
                f"training.steps={arguments.steps}",
                f"training.global_batch_size={8 * data * arguments.micro_batches}",
                f"parallel={{{pipeline}expert: {data}, overlap: {overlap}}}"] + arguments.set)

    def of(steps, key):
        return statistics.median(step.get(key, 0) for step in steps[1:])

    def exchange(steps):
        return statistics.median(sum(step.get(f"exposed_seconds_{k}", 0) for k in EXCHANGE) for step in steps[1:])

    free = run("none", "false")
    computing = of(free, "step_seconds") - of(free, "exposed_communication_seconds")
    leaving = sum(of(free, f"sent_bytes_{kind}") for kind in EXCHANGE) / arguments.nodes
    rate = arguments.rate or max(1, round(leaving * 8e-6 / (computing * arguments.ratio)))
    print(f"{arguments.nodes} nodes of {arguments.slots} rank(s): a step computes for {computing:.2f} s and sends "
          f"{leaving / 1e6:.0f} MB of rows from each node; links of {rate} Mbit/s")
    apart, overlapped = (run(f"{rate}mbit", overlap) for overlap in ("false", "true"))
    print(f"{'seconds of a step':24}{'without overlap':>18}{'with overlap':>18}")
    rows = [("whole", "step_seconds"), ("exposed", "exposed_communication_seconds")] + [
        (f"  {kind}", f"exposed_seconds_{kind}") for kind in KINDS]
    rows += [("bubble, share of a rank", "bubble_fraction")] if arguments.pipeline > 1 else []
    for name, key in rows:
        print(f"{name:24}{of(apart, key):18.3f}{of(overlapped, key):18.3f}")
    print(f"exposed exchange: {exchange(overlapped) / exchange(apart):.1%} of that without overlap, "
          f"all that is exposed: {of(overlapped, rows[1][1]) / of(apart, rows[1][1]):.1%}")
    print(f"tokens/s: {of(overlapped, 'tokens_per_second') / of(apart, 'tokens_per_second'):.2f} of those without")
    same = [a["loss"] == b["loss"] == c["loss"] for a, b, c in zip(free, apart, overlapped)]
    same = same[:1] if arguments.pipeline > 1 else same
    print("losses: the same bits" if all(same) else "losses: DIFFERENT")
    programs.finish(arguments, {"free": free, "apart": apart, "overlapped": overlapped, "rate": rate})
    shutil.rmtree(directory)
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
