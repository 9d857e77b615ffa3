#!/usr/bin/env python3
"""Whole training steps: Hadal beside the PyTorch peer program, taking turns; prints medians and ratios.

  benchmarks/against_pytorch.py [--rounds 3] [--modes fp32 bf16m] [--steps 10]

The same model, tokens a step and threads. fp32: everything in float32. bf16m: products in bfloat16, master weights in
float32; PyTorch's moments are float32, Hadal's as configured. Each program measures its own steps, after warm-up, and
its own peak of resident memory; a ratio above 1 of tokens/s, and below 1 of memory, is in Hadal's favor.
The machine should do nothing else. Needs 4 GB of memory; the first run of a mode compiles for some minutes.
"""
import argparse

import programs

# The options that are fastest for each mode (see docs/performance.md).
PEER = {
    "fp32": ["--dtype", "fp32"],
    "bf16m": ["--dtype", "bf16m", "--attn", "full", "--moe", "grouped", "--pad", "64"],
}
PRECISION = {"fp32": "float32", "bf16m": "bfloat16"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs.add_options(parser)
    parser.add_argument("--modes", nargs="+", default=list(PEER), choices=list(PEER))
    parser.add_argument("--steps", type=int, default=10, help="measured steps of a run")
    arguments = parser.parse_args()
    hadal, python = programs.hadal(arguments.hadal), programs.python(arguments.python)
    common = ["--steps", str(arguments.steps)]
    measured = {}
    for mode in arguments.modes:
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            theirs.append(programs.run_json(
                [python, "benchmarks/pytorch_peer.py", "--impl", "opt", "--threads", str(arguments.threads)]
                + PEER[mode] + common))
            ours.append(programs.run_json(
                [hadal, "bench", "step", arguments.config, "--json", "--profiled", "0", "--set",
                 f"precision.mode={PRECISION[mode]}", "--set", f"training.threads={arguments.threads}"] + common))
        measured[mode] = {"hadal": ours, "pytorch": theirs}
    report(measured, arguments)
    programs.finish(arguments, measured)


def report(measured, arguments):
    first = next(iter(measured.values()))
    print(programs.head(first["hadal"][0]))
    print(f"{arguments.threads} threads, {first['hadal'][0]['tokens']} tokens a step; medians of {arguments.rounds} runs "
          f"of {arguments.steps} steps (least to most)\n")
    print(f"{'mode':6}  {'program':8}  {'tokens/s':>22}  {'peak memory, GB':>22}")
    ratios = []
    for mode, runs in measured.items():
        speed = {
            "hadal": [r["tokens_per_second"] for r in runs["hadal"]],
            "pytorch": [r["tokens_per_s"] for r in runs["pytorch"]],
        }
        memory = {  # the peer counts in units of 2^30 bytes
            "hadal": [r["peak_memory_bytes"] / 1e9 for r in runs["hadal"]],
            "pytorch": [r["peak_rss_gb"] * 2**30 / 1e9 for r in runs["pytorch"]],
        }
        for program in ("pytorch", "hadal"):
            print(f"{mode:6}  {program:8}  {text(speed[program], 0):>22}  {text(memory[program], 2):>22}")
        each = [a / b for a, b in zip(speed["hadal"], speed["pytorch"])]
        ratios.append(
            f"{mode}: tokens/s {programs.median(speed['hadal']) / programs.median(speed['pytorch']):.2f} × PyTorch's "
            f"(round by round {', '.join(f'{r:.2f}' for r in each)}), "
            f"memory {programs.median(memory['hadal']) / programs.median(memory['pytorch']):.2f} ×")
    print("\n" + "\n".join(ratios))


def text(values, digits):
    return f"{programs.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
