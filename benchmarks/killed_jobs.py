"""A training job that can be killed at any moment, and what such a kill leaves in a directory of checkpoints."""
import os
import signal
import subprocess
import time

SLOW = 120  # seconds after which a job that should have ended is reported as hanging


class Job:
    """`hadal train`, alone or under mpirun, in a directory of its own."""

    def __init__(self, command, ranks, directory, log):
        environment = dict(os.environ)
        self.ranks = ranks
        if ranks > 1:
            command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] + command
            # What a killed mpirun leaves of its own is removed with the directory.
            environment.update(TMPDIR=directory, OMPI_MCA_btl_vader_backing_directory=directory)
        with open(log, "w") as output:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)

    def has_ended(self):
        return self.process.poll() is not None

    def wait(self):
        """The exit code. A job that hangs is ended, and is a fault."""
        try:
            return self.process.wait(timeout=SLOW)
        except subprocess.TimeoutExpired:
            self.kill(None)
            raise Fault(f"hung for {SLOW} s")

    def kill(self, draw):
        """SIGKILL: to all processes, as when a node dies, or to one rank, whose peers mpirun then ends."""
        if self.ranks == 1:
            self.process.kill()
            self.process.wait()
            return
        os.kill(self.process.pid, signal.SIGSTOP)  # so that no rank is started meanwhile
        ranks = children(self.process.pid)
        if draw and len(ranks) == self.ranks and draw.random() < 0.5:
            end([draw.choice(ranks)])
            os.kill(self.process.pid, signal.SIGCONT)
            self.wait()
        else:
            end(ranks)
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + SLOW
        while any(map(is_alive, ranks)):
            if time.monotonic() > deadline:
                raise Fault(f"of the ranks {ranks} some live on")
            time.sleep(0.001)


class Fault(Exception):
    """Something that must not happen to a killed run."""


def end(processes):
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass  # has ended by itself


def status(process):
    """State and parent; none for a process that is gone."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0


def is_alive(process):
    return status(process)[0] not in "ZX"


def children(parent):
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and status(name)[1] == parent]


class Checkpoints:
    """A directory of checkpoints, seen from outside."""

    def __init__(self, path):
        self.path = path

    def names(self):
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []

    def steps(self):
        """Of the directories that are named as complete checkpoints, ascending."""
        return sorted(int(name[5:]) for name in self.names() if name.startswith("step-"))

    def latest(self):
        """The step that the file `latest` names."""
        with open(os.path.join(self.path, "latest")) as file:
            return int(file.read().strip()[5:])

    def is_saving(self):
        """Whether a save is under way, or was when the job died."""
        names = self.names()
        if any(name.startswith(".") for name in names):
            return True
        # Between the name of the directory and that of `latest`.
        steps = self.steps()
        return bool(steps) and ("latest" not in names or self.latest() != steps[-1])

    def damage(self, step, draw):
        """Does to a checkpoint what a disk may. Returns what was done."""
        directory = os.path.join(self.path, f"step-{step}")
        name = draw.choice(sorted(os.listdir(directory)))
        path = os.path.join(directory, name)
        length = os.path.getsize(path)
        kind = draw.choice(["a flipped bit", "a cut-off end", "a missing file"])
        if kind == "a missing file":
            os.remove(path)
        elif kind == "a cut-off end":
            os.truncate(path, draw.randrange(length))
        else:
            with open(path, "r+b") as file:
                place = draw.randrange(length)
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ 1 << draw.randrange(8)]))
        return f"{kind} ({name} of step-{step})"
