#!/usr/bin/env python3
"""How fast checkpoints are saved and loaded, in terms of what the disk can do; and what a save costs training.

  benchmarks/saving.py                     1 GB of weights and moments against dd, in the same directory
  benchmarks/saving.py --while-training    steps during which a checkpoint is written against steps without

A round has four parts: a run of one step saves, from the request to the durable checkpoint, hashing and two fsyncs of
directories included; `dd conv=fsync` writes as many bytes as the checkpoint has; `dd` reads the file that was written;
the run is resumed, from the first byte of the manifest to the last tensor, hashing included. As root the page cache is
dropped before both of the latter. Memory is touched and given back before each part, so that none of them waits for a
hypervisor to find some: that can take four times as long as the disk. Prints medians, and the medians of the rounds'
ratios. A run that fails, or that goes on from anything but the checkpoint, is not timed.
"""
import argparse
import json
import mmap
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import programs

# 82 million parameters, of which a token meets 24: the state is large, a step is not.
MODEL = """
model: {vocab_size: 16384, hidden_size: 512, num_hidden_layers: 5, num_attention_heads: 8, intermediate_size: 1024,
  moe_intermediate_size: 512, q_lora_rank: null, kv_lora_rank: 128, qk_nope_head_dim: 32, qk_rope_head_dim: 16,
  v_head_dim: 32, n_routed_experts: 18, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, n_group: 1,
  topk_group: 1, max_position_embeddings: 256, num_nextn_predict_layers: 0}
data: {synthetic: true}
training: {sequence_length: 256, micro_batch_size: 4, global_batch_size: 4}
optimizer: {moments: float32}
precision: {mode: bfloat16}
evaluation: {every: null}
logging: {every: 1}
"""
CACHES = "/proc/sys/vm/drop_caches"
# What a run of this takes, several times; half of what the machine has to spare at most.
MEMORY = 4 << 30


def train(hadal, directory, settings):
    """The lines of a run with the seconds at which they came."""
    command = [hadal, "train", "saving.yaml"] + [part for setting in settings for part in ("--set", setting)]
    begin, lines = time.monotonic(), []
    with subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            lines.append((time.monotonic() - begin, line.rstrip()))
    if process.returncode != 0:
        sys.exit("\n".join(text for _, text in lines) + f"\nended with exit code {process.returncode}")
    return lines


def number(pattern, lines):
    """The number in the one line that matches."""
    found = [match for _, text in lines for match in [re.search(pattern, text)] if match]
    if len(found) != 1:
        sys.exit("\n".join(text for _, text in lines) + f"\nnot one line like {pattern}")
    return float(found[0][1])


def dd(*arguments):
    begin = time.monotonic()
    subprocess.run(["dd", "bs=1M", "status=none", *arguments], check=True)
    return time.monotonic() - begin


def available_memory():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


def settle(dropping_caches=False):
    os.sync()
    if dropping_caches and os.access(CACHES, os.W_OK):
        with open(CACHES, "w") as file:
            file.write("3")
    length = min(MEMORY, available_memory() // 2)
    with mmap.mmap(-1, length) as memory:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a system without huge pages takes small ones
        for page in range(0, length, mmap.PAGESIZE):
            memory[page] = 1


def against_dd(hadal, directory, rounds):
    checkpoint = os.path.join(directory, "runs/saving/checkpoints/step-1")
    file, probe = os.path.join(checkpoint, "rank-00000-of-00001.safetensors"), os.path.join(directory, "dd.bin")
    measured = []
    for _ in range(rounds):
        shutil.rmtree(os.path.join(directory, "runs"), ignore_errors=True)
        settle()
        settings = ["training.steps=1", "checkpoint.every=1", "run.name=saving", "training.sequence_length=32",
                    "training.micro_batch_size=1", "training.global_batch_size=1"]
        save = number(r"durable ([\d.]+) s after", train(hadal, directory, settings))
        length = os.path.getsize(file)
        settle()
        written = dd("if=/dev/zero", f"of={probe}", "iflag=count_bytes", f"count={length}", "conv=fsync")
        os.remove(probe)
        settle(dropping_caches=True)
        read = dd(f"if={file}", "of=/dev/null")
        settle(dropping_caches=True)
        load = number(r"resumed from .* checked in ([\d.]+) s", train(hadal, directory, settings))
        measured.append({"bytes": length, "dd_write": written, "save": save, "dd_read": read, "load": load})
        print("  " + "  ".join(f"{key} {value:.2f} s" for key, value in measured[-1].items() if key != "bytes"),
              file=sys.stderr, flush=True)
    length = measured[0]["bytes"]
    cold = os.access(CACHES, os.W_OK)
    print(f"{length / 1e6:.0f} MB, {rounds} rounds" + ("" if cold else "; files were read from the page cache"))
    for name, ours, disk in [("saving", "save", "dd_write"), ("loading", "load", "dd_read")]:
        speed = {key: statistics.median(length / 1e6 / row[key] for row in measured) for key in (ours, disk)}
        ratios = sorted(row[disk] / row[ours] for row in measured)
        print(f"{name:8} {speed[ours]:6.0f} MB/s   dd {speed[disk]:6.0f} MB/s   ratio {statistics.median(ratios):.2f} "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return measured


def while_training(hadal, directory, saves):
    every = 36
    lines = train(hadal, directory, [
        f"training.steps={every * saves + every}", f"checkpoint.every={every}", "checkpoint.keep=1",
        "checkpoint.on_exit=false", "run.name=training"])
    overlapped, busy, copies, durable, before = set(), False, [], [], 0.0
    for moment, text in lines:
        if text.startswith("requested"):
            busy = True
            copies.append(moment - before)
        if text.startswith("saved"):
            busy = False
            durable.append(float(re.search(r"durable ([\d.]+) s", text)[1]))
        step = re.match(r"step (\d+)/", text)
        if step:
            before = moment
            if busy:
                overlapped.add(int(step[1]))
    with open(os.path.join(directory, "runs/training/metrics.jsonl")) as file:
        records = [json.loads(line) for line in file]
    steps = {record["step"]: record["step_seconds"] for record in records if record["kind"] == "step"}
    beside = [seconds for step, seconds in steps.items() if step in overlapped]
    alone = [seconds for step, seconds in steps.items() if step not in overlapped and step > 1]
    print(f"{len(beside)} steps while a checkpoint is written: median {statistics.median(beside):.3f} s; "
          f"{len(alone)} others: {statistics.median(alone):.3f} s; "
          f"ratio {statistics.median(beside) / statistics.median(alone):.3f}")
    print(f"{len(copies)} saves: training stops for {statistics.median(copies):.2f} s (copy), and they are durable "
          f"{statistics.median(durable):.2f} s after that")
    return {"steps": steps, "overlapped": sorted(overlapped), "copies": copies, "durable": durable}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default=".", help="where to make a directory for it: the disk that is measured")
    parser.add_argument("--while-training", action="store_true")
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    parser.add_argument("--json", metavar="FILE", help="also write everything that was measured")
    arguments = parser.parse_args()
    hadal = programs.hadal(arguments.hadal)
    directory = tempfile.mkdtemp(prefix="hadal-saving-", dir=arguments.directory)
    try:
        with open(os.path.join(directory, "saving.yaml"), "w") as file:
            file.write(MODEL)
        measure = while_training if arguments.while_training else against_dd
        programs.finish(arguments, measure(hadal, directory, arguments.rounds))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
