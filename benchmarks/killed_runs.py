#!/usr/bin/env python3
"""Kills training runs at random moments, half of them during a save, and looks whether anything is lost.

  benchmarks/killed_runs.py                    100 runs in four configurations
  benchmarks/killed_runs.py --runs 6 --seed 3

Each configuration is trained once without being disturbed. Each further run is killed by SIGKILL from one to three
times and each time resumed by `--resume auto`. A kill is aimed at a random moment between the start of the process and
its end or, in every second run, at a random moment of a save (repeated until one has hit; the state of the directory
afterwards tells). Of two ranks all are killed, or one. In some runs the newest checkpoint is damaged before resuming.

After each kill `hadal checkpoint verify` must find every complete checkpoint whole, and the resumed run must say that it
goes on from the newest one. At the end tensors, position and the losses of all steps must have the bits of the
undisturbed run. Exit code 1 if anything is otherwise; the directory of that run is then left, and named.
"""
import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import killed_jobs
import programs

STEPS, EVERY = 60, 6
# How often a run is begun anew that has ended before it was killed as it should be.
ATTEMPTS = 10
MODEL = f"""
model: {{vocab_size: 256, hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 128,
  moe_intermediate_size: 32, q_lora_rank: 24, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 16,
  n_routed_experts: 8, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, n_group: 1, topk_group: 1,
  max_position_embeddings: 32, num_nextn_predict_layers: 1}}
data: {{synthetic: true}}
training: {{steps: {STEPS}, sequence_length: 32, micro_batch_size: 1, global_batch_size: 8, threads: 1}}
evaluation: {{every: null}}
checkpoint: {{every: {EVERY}, keep: 3}}
"""
# Every one has multi-token prediction and accumulates gradients.
CASES = [
    ("one rank, FP8", 1, ["precision.mode=fp8"]),
    ("one rank, float32, saves that training waits for", 1, ["checkpoint.asynchronous=false"]),
    ("two ranks, FP8, DualPipe", 2, ["precision.mode=fp8", "parallel={pipeline: 2, schedule: dualpipe}"]),
    ("two ranks, bfloat16, expert 2", 2, ["precision.mode=bfloat16", "parallel={expert: 2}"]),
]
NUMBERS = ["step", "tokens", "loss", "loss_main", "loss_mtp", "loss_balance", "gradient_norm", "learning_rate",
           "max_violation"]


class Run:
    """One directory with a configuration, trained by as many jobs as it takes."""

    def __init__(self, hadal, root, name, case):
        self.hadal, self.directory, (_, self.ranks, self.settings) = hadal, os.path.join(root, name), case
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, "killed.yaml"), "w") as file:
            file.write(MODEL)
        self.checkpoints = killed_jobs.Checkpoints(os.path.join(self.directory, "runs/killed/checkpoints"))
        self.metrics = os.path.join(self.directory, "runs/killed/metrics.jsonl")
        self.jobs = 0

    def start(self):
        self.jobs += 1
        settings = [part for setting in self.settings for part in ("--set", setting)]
        command = [self.hadal, "train", "killed.yaml", "--resume", "auto"] + settings
        return killed_jobs.Job(command, self.ranks, self.directory, self.log_path())

    def log_path(self):
        return os.path.join(self.directory, f"job-{self.jobs}.log")

    def log(self):
        with open(self.log_path()) as file:
            return file.read()

    def records(self):
        """The numbers of each step that is written down, as their digits."""
        try:
            with open(self.metrics) as file:
                lines = [json.loads(line, parse_float=str) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [[line.get(key) for key in NUMBERS] for line in lines if line["kind"] == "step"]

    def tensors(self):
        """What the last checkpoint holds: each file's bytes, and the manifest but for what names the run."""
        directory = os.path.join(self.checkpoints.path, f"step-{STEPS}")
        files = {}
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), "rb") as file:
                files[name] = file.read()
        manifest = json.loads(files.pop("manifest.json"))
        del manifest["seal"]
        return files, manifest

    def verify(self, damaged=None):
        """Requires that every complete checkpoint is whole but the one that was damaged."""
        if not self.checkpoints.steps():
            return
        command = [self.hadal, "checkpoint", "verify", self.checkpoints.path]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        verdicts = dict(re.findall(r"step-(\d+): (whole|damaged)$", done.stdout, re.M))
        expected = {str(step): "damaged" if step == damaged else "whole" for step in self.checkpoints.steps()}
        if verdicts != expected or done.returncode != (0 if damaged is None else 2):
            raise killed_jobs.Fault(f"verify: {verdicts}, not {expected}\n{done.stdout}")


class Tally:
    """What happened to the runs of a configuration."""

    def __init__(self):
        self.runs = self.kills = self.saves = self.saving_runs = 0
        self.from_start = self.damaged = self.mismatches = 0
        self.resumed = []

    def add(self, kills, saves):
        self.kills, self.saves, self.saving_runs = self.kills + kills, self.saves + saves, self.saving_runs + (saves > 0)

    def text(self):
        span = f"steps {min(self.resumed)} to {max(self.resumed)}" if self.resumed else "no step"
        return (f"{self.runs} runs, {self.kills} kills, {self.saves} of them during a save (in {self.saving_runs} runs); "
                f"resumed from {span} ({len(self.resumed)} times, {self.from_start} from the start); {self.damaged} "
                f"damaged checkpoints passed over; {self.mismatches} mismatches")


def undisturbed(run):
    """Trains to the end. Returns the seconds before the first step is written, of all steps, and of a save."""
    begin = time.monotonic()
    job = run.start()
    while not run.records() and not job.has_ended():
        time.sleep(0.001)
    starting = time.monotonic() - begin
    if job.wait() != 0:
        sys.exit(f"{run.log()}\nthe undisturbed run failed")
    run.verify()
    saves = [float(seconds) for seconds in re.findall(r"durable ([\d.]+) s", run.log())] or [0.01]
    return starting, time.monotonic() - begin - starting, sorted(saves)[len(saves) // 2]


def wait_for(condition, job):
    while not job.has_ended() and not condition():
        time.sleep(0.0005)


def rest(seconds, job):
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, job)


def reach_random_moment(run, job, times, draw):
    """Anything from the start of the process to its end; by steps, as others may use the machine as well."""
    starting, training, _ = times
    done = len(run.records())
    left = training * (STEPS - done) / STEPS
    moment = draw.uniform(0, starting + left)
    if moment < starting:
        rest(moment, job)
        return
    steps = (moment - starting) / training * STEPS
    wait_for(lambda: len(run.records()) >= done + int(steps), job)
    rest(steps % 1 * training / STEPS, job)


def reach_save(run, job, times, draw):
    """Some time after one of the saves that are left has begun."""
    wait_for(lambda: len(run.records()) > 0, job)
    before = set(run.checkpoints.steps())
    due = [step for step in range(EVERY, STEPS + 1, EVERY) if step > max(before, default=0)]
    if not due:
        # The last one is there, and the job about to end.
        reach_random_moment(run, job, times, draw)
        return
    step = draw.choice(due[:3])
    partial = os.path.join(run.checkpoints.path, f".step-{step}.partial")
    final = os.path.join(run.checkpoints.path, f"step-{step}")
    wait_for(lambda: os.path.exists(partial) or os.path.exists(final), job)
    rest(draw.uniform(0, 1.2) * times[2], job)


def expect_resumed(run, newest, damaged):
    """The log of the last job must say that it began where it should have."""
    log = run.log()
    found = re.search(r"resumed from \S*/step-(\d+) after step (\d+)", log)
    begun = (int(found[1]), int(found[2])) if found else None
    if begun != ((newest, newest) if newest else None):
        raise killed_jobs.Fault(f"resumed from {begun}, but the newest whole checkpoint is {newest}")
    passed = set(map(int, re.findall(r"passed over a damaged checkpoint: \S*/step-(\d+)", log)))
    if passed != ({damaged} if damaged else set()):
        raise killed_jobs.Fault(f"passed over {passed}, but {damaged} is damaged")


def kill_and_resume(run, expected, times, aims, damages, draw, tally):
    """One run, killed until that was enough, and then left to end. Returns what it was meant for and did not come to."""
    kills, hits, wanted = 0, 0, draw.randint(1, 3)
    newest, damaged = None, None
    while True:
        is_enough = kills >= wanted and (hits > 0 or not aims)
        job = run.start()
        last = is_enough and not damages
        if not last:
            (reach_save if aims else reach_random_moment)(run, job, times, draw)
        if last or job.has_ended():
            if job.wait() != 0:
                raise killed_jobs.Fault("a resumed run failed")
            expect_resumed(run, newest, damaged)
            break
        job.kill(draw)
        kills, hits = kills + 1, hits + run.checkpoints.is_saving()
        # A job that was killed before it said where it begins has said nothing wrong.
        if "requested" in run.log() or "step " in run.log():
            expect_resumed(run, newest, damaged)
        run.verify()
        steps = run.checkpoints.steps()
        if damages and is_enough and len(steps) > 1:
            damages, damaged = False, steps.pop()
            print(f"  {run.checkpoints.damage(damaged, draw)}", file=sys.stderr)
            run.verify(damaged)
            tally.damaged += 1
        newest = steps[-1] if steps else None
        tally.resumed += steps[-1:]
        tally.from_start += not steps
    tally.add(kills, hits)
    run.verify()
    if run.records() != expected[0]:
        raise killed_jobs.Fault("other numbers in metrics.jsonl than those of the undisturbed run")
    if run.tensors() != expected[1]:
        raise killed_jobs.Fault("another last checkpoint than that of the undisturbed run")
    if run.checkpoints.is_saving():
        raise killed_jobs.Fault(f"the last run has left {run.checkpoints.names()}")
    missed = {"a kill": not kills, "a kill during a save": aims and not hits, "a damaged checkpoint": damages}
    return [name for name, is_missed in missed.items() if is_missed]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    arguments = parser.parse_args()
    hadal, draw = programs.hadal(arguments.hadal), random.Random(arguments.seed)
    root = tempfile.mkdtemp(prefix="hadal-killed-")
    cases = CASES[:arguments.runs]
    expected, times, tallies = [], [], [Tally() for _ in cases]
    for index, case in enumerate(cases):
        run = Run(hadal, root, f"undisturbed-{index}", case)
        times.append(undisturbed(run))
        expected.append((run.records(), run.tensors()))
    for number in range(arguments.runs):
        index, row = number % len(cases), number // len(cases)
        run, tally = Run(hadal, root, f"run-{number}", cases[index]), tallies[index]
        tally.runs += 1
        try:
            # A run that ended too early proves nothing.
            for attempt in range(1, ATTEMPTS + 1):
                missed = kill_and_resume(
                    run, expected[index], times[index], (row + index) % 2 == 1, number % 5 == 3, draw, tally)
                if missed and attempt == ATTEMPTS:
                    raise killed_jobs.Fault(f"{ATTEMPTS} times without {', '.join(missed)}")
                shutil.rmtree(run.directory)
                if not missed:
                    break
                run = Run(hadal, root, f"run-{number}", cases[index])
            print(f"run {number + 1} of {arguments.runs}: {tally.kills} kills of its kind", file=sys.stderr, flush=True)
        except killed_jobs.Fault as fault:
            tally.mismatches += 1
            print(f"{run.log()}\n{cases[index][0]}, {run.directory}: {fault}", file=sys.stderr)
    for (name, _, _), tally in zip(cases, tallies):
        print(f"{name}: {tally.text()}")
    mismatches = sum(tally.mismatches for tally in tallies)
    kills, saves = (sum(getattr(tally, key) for tally in tallies) for key in ("kills", "saves"))
    print(f"all: {arguments.runs} runs, {kills} kills, {saves} during a save, {mismatches} mismatches")
    if not mismatches:
        shutil.rmtree(root)
    sys.exit(1 if mismatches else 0)


if __name__ == "__main__":
    main()
