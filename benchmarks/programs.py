"""The two programs that the benchmarks run: Hadal's release build, and a Python that has PyTorch."""
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".build", "venv-oracle")  # the one that launch/test.sh makes
TORCH = "torch==2.13.0"


def add_options(parser):
    """Options that every benchmark against PyTorch has."""
    parser.add_argument("--config", default="configs/bench.yaml", help="what Hadal is configured by")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, taking turns")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--hadal", help="the program; without, the release build is made")
    parser.add_argument("--python", help="a Python with PyTorch; without, one under .build is made if missing")
    parser.add_argument("--json", metavar="FILE", help="also write everything that was measured")


def hadal(path):
    """The path of Hadal's program, built where none is given."""
    if path:
        return os.path.abspath(path)
    build = ["swift", "build", "-c", "release", "--product", "hadal"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=sys.stderr)
    shown = subprocess.run(
        build[:4] + ["--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    return os.path.join(shown.stdout.strip(), "hadal")


def python(path):
    """The path of a Python that imports torch, made where none is given."""
    if path:
        return path
    subprocess.run(
        [os.path.join(ROOT, "launch", "install.sh"), "python3-venv", "g++", "libtcmalloc-minimal4"],
        check=True, stdout=sys.stderr)
    program = os.path.join(VENV, "bin", "python")
    works = [program, "-c", "import torch"]
    if os.path.exists(program) and subprocess.run(works, stderr=subprocess.DEVNULL).returncode == 0:
        return program
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    install = [program, "-m", "pip", "install", "-q"]
    if subprocess.run(install + [TORCH + "+cpu"], stdout=sys.stderr).returncode != 0:
        subprocess.run(install + [TORCH], check=True, stdout=sys.stderr)
    subprocess.run(install + ["numpy", "safetensors", "transformers"], check=True, stdout=sys.stderr)
    return program


def run_json(command, **options):
    """The last line that a program prints, as JSON. A program that fails ends everything, with its own words."""
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"failed with exit code {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def train_on_cluster(hadal, options, config, directory, settings):
    """Trains on nodes that launch/local-cluster.sh makes with `options`; returns the records of the steps.

    Settings are those of --set, and name the run directory/run, which is made anew.
    """
    run = os.path.join(directory, "run")
    shutil.rmtree(run, ignore_errors=True)
    settings = settings + [f"run.directory={directory}", "run.name=run"]
    command = [os.path.join(ROOT, "launch", "local-cluster.sh"), *options, "--", hadal, "train", config] + [
        part for setting in settings for part in ("--set", setting)]
    print(f"+ {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nended with exit code {done.returncode}")
    with open(os.path.join(run, "metrics.jsonl")) as file:
        return [record for record in map(json.loads, file) if record["kind"] == "step"]


def median(values):
    return statistics.median(values)


def finish(arguments, measured):
    """Writes what was asked for with --json."""
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(measured, file, indent=1)
            file.write("\n")


def head(report):
    """Where and when, in one line."""
    machine = report["machine"]
    today = datetime.date.today().isoformat()
    return (f"{today}, {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
            f"Linux {platform.release()}; Hadal's level: {report['level']}")
