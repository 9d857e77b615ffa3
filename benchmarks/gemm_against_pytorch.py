#!/usr/bin/env python3
"""Single products and attention: Hadal beside PyTorch, taking turns, on the same shapes; prints ratios.

  benchmarks/gemm_against_pytorch.py [--rounds 3] [--precisions float32 bfloat16] [--sequence 512 4096]

The shapes, and the rows of each expert, are what `hadal bench gemm --json` and `hadal bench attention --json` report.
PyTorch writes into memory that is there already. Where it has several ways the fastest counts: grouped products by a
loop over the experts or by grouped_mm, attention by scaled_dot_product_attention or in chunks of queries whose softmax
is compiled. What Hadal does besides is not taken off its time: it adds weight gradients to a float32 sum, and in
attention it rotates queries and keys and reads them where the projections left them; PyTorch's are ready, and v is as
wide as it likes. A ratio is PyTorch's time over Hadal's: above 1 in Hadal's favor.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import programs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs.add_options(parser)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--sequence", nargs="+", type=int, default=[512, 4096], help="lengths of attention")
    parser.add_argument("--only", choices=["gemm", "attention"])
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)  # as the child: cases on stdin
    arguments = parser.parse_args()
    if arguments.time:
        print(json.dumps(time_all(json.load(sys.stdin), arguments.threads)))
        return
    hadal, python = programs.hadal(arguments.hadal), programs.python(arguments.python)
    measured = {}
    for precision in arguments.precisions:
        for what in [arguments.only] if arguments.only else ["gemm", "attention"]:
            measured[f"{what} {precision}"] = measure(hadal, python, what, precision, arguments)
    print(programs.head(next(iter(measured.values()))[0]["hadal"]))
    print(f"{arguments.threads} threads; medians of {arguments.rounds} runs")
    for name, rounds in measured.items():
        (report_gemm if name.startswith("gemm") else report_attention)(name, rounds)
    programs.finish(arguments, measured)


def measure(hadal, python, what, precision, arguments):
    """Rounds of both programs' results, in the same order."""
    lengths = ["--sequence"] + [str(length) for length in arguments.sequence]
    environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads), ONEDNN_PRIMITIVE_CACHE_CAPACITY="16384")
    rounds = []
    for _ in range(arguments.rounds):
        ours = programs.run_json(
            [hadal, "bench", what, arguments.config, "--json", "--set", f"precision.mode={precision}", "--set",
             f"training.threads={arguments.threads}"] + (lengths if what == "attention" else []))
        theirs = programs.run_json(
            [python, os.path.abspath(__file__), "--time", "--threads", str(arguments.threads)],
            input=json.dumps(ours["results"]), env=environment)
        rounds.append({"hadal": ours, "pytorch": theirs})
    return rounds


def both(rounds):
    """Result, Hadal's and PyTorch's median seconds of each case."""
    for i, result in enumerate(rounds[0]["hadal"]["results"]):
        ours = programs.median([r["hadal"]["results"][i]["microseconds"] for r in rounds])
        yield result, ours, programs.median([r["pytorch"][i] for r in rounds]) * 1e6


def report_gemm(name, rounds):
    print(f"\n{name}\n{'product':16}  {'kind':15}  {'M':>6} {'N':>6} {'K':>6} {'groups':>6}  {'Hadal, µs':>10}  "
          f"{'PyTorch, µs':>11}  {'ratio':>6}")
    ratios, forward, slower = [], {}, []
    for r, ours, theirs in both(rounds):
        ratios.append((theirs / ours, f"{r['name']}, {r['kind']}"))
        groups = len(r["groups"]) if r.get("groups") else ""
        print(f"{r['name']:16}  {r['kind']:15}  {r['m']:6} {r['n']:6} {r['k']:6} {groups:>6}  {ours:10.1f}  "
              f"{theirs:11.1f}  {theirs / ours:6.2f}")
        if r["kind"] == "forward":
            forward[r["name"]] = ours
        elif r["kind"] == "weight gradient":
            slower.append((ours / forward[r["name"]], r["name"]))
    print(f"ratio: median {programs.median([r for r, _ in ratios]):.2f}, least {min(ratios)[0]:.2f} ({min(ratios)[1]})")
    print(f"Hadal's weight gradient over its forward product: median {programs.median([s for s, _ in slower]):.2f}, "
          f"most {max(slower)[0]:.2f} ({max(slower)[1]})")


def report_attention(name, rounds):
    """Forward and backward are one case: PyTorch's chunked form keeps for the one what the other needs."""
    print(f"\n{name}, forward and backward\n{'sequence':>8} {'sequences':>9} {'heads':>5}  {'Hadal, µs':>10}  "
          f"{'PyTorch, µs':>11}  {'ratio':>6}")
    cases = list(both(rounds))
    for (r, ahead, theirs), (_, back, _) in zip(cases[::2], cases[1::2]):
        print(f"{r['sequence']:8} {r['sequences']:9} {r['heads']:5}  {ahead + back:10.1f}  {theirs:11.1f}  "
              f"{theirs / (ahead + back):6.2f}")


# ---- the child: everything below runs where torch is

def time_all(cases, threads):
    """Seconds of each case; of attention, forward and backward together, in the place of both."""
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    done = {}
    seconds = []
    for case in cases:
        key = json.dumps([case[k] for k in ("sequence", "sequences", "heads")]) if "direction" in case else None
        if key is None:
            seconds.append(min(seconds_of(form) for form in product_forms(torch, case)))
        else:
            if key not in done:
                done[key] = min(seconds_of(form) for form in attention_forms(torch, case))
            seconds.append(done[key])
    return seconds


def seconds_of(run, least=7, budget=0.1):
    """The median of at least 7 runs, after 2 that are not counted; infinite for what this PyTorch cannot do."""
    try:
        run(), run()
    except (RuntimeError, AttributeError, NotImplementedError) as fault:
        print(f"left out: {str(fault).splitlines()[0]}", file=sys.stderr)
        return float("inf")
    times = []
    while len(times) < least or sum(times) < budget:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return programs.median(times)


def product_forms(torch, case):
    dtype = getattr(torch, case["dtype"])
    m, n, k, kind, groups = case["m"], case["n"], case["k"], case["kind"], case.get("groups")
    random = lambda *shape: torch.randn(*shape).to(dtype)
    empty = lambda *shape: torch.empty(*shape, dtype=dtype)
    if groups:
        return grouped_forms(torch, random, empty, m, n, k, kind, groups)
    if kind == "forward":
        x, w, y = random(m, k), random(n, k), empty(m, n)
        return [lambda: torch.mm(x, w.t(), out=y)]
    if kind == "input gradient":
        dy, w, dx = random(m, k), random(k, n), empty(m, n)
        return [lambda: torch.mm(dy, w, out=dx)]
    dy, x, dw = random(k, m), random(k, n), empty(m, n)
    return [lambda: torch.mm(dy.t(), x, out=dw)]


def grouped_forms(torch, random, empty, m, n, k, kind, groups):
    experts = range(len(groups))
    ends = [sum(groups[: e + 1]) for e in experts]
    rows = [slice(end - count, end) for end, count in zip(ends, groups)]
    offsets = torch.tensor(ends, dtype=torch.int32)
    if kind == "weight gradient":
        dy, x, dw = random(k, m), random(k, n), empty(len(groups), m, n)

        def loop():
            for e in experts:
                torch.mm(dy[rows[e]].t(), x[rows[e]], out=dw[e])
        return [loop, lambda: torch.nn.functional.grouped_mm(dy.t(), x, offs=offsets)]
    x, w, y = random(m, k), random(len(groups), *((n, k) if kind == "forward" else (k, n))), empty(m, n)
    right = w.transpose(1, 2) if kind == "forward" else w

    def loop():
        for e in experts:
            torch.mm(x[rows[e]], right[e], out=y[rows[e]])
    return [loop, lambda: torch.nn.functional.grouped_mm(x, right, offs=offsets)]


def attention_forms(torch, case):
    """Each form computes the output and, from its gradient, those of q, k and v."""
    dtype = getattr(torch, case["dtype"])
    batch, heads, length = case["sequences"], case["heads"], case["sequence"]
    width, value = case["nope"] + case["rope"], case["value"]
    leaf = lambda last: torch.randn(batch, heads, length, last).to(dtype).requires_grad_()
    q, k, v = leaf(width), leaf(width), leaf(value)
    gradient = torch.randn(batch, heads, length, value).to(dtype)

    def fused():  # its fused kernel wants v as wide as q and k
        wide = torch.nn.functional.pad(v, (0, width - value)) if value < width else v
        y = torch.nn.functional.scaled_dot_product_attention(q, k, wide, is_causal=True)[..., :value]
        torch.autograd.grad(y, (q, k, v), gradient)
    return [fused, chunked(torch, q, k, v, gradient)]


def chunked(torch, q, k, v, gradient, chunk=256):
    """Chunks of queries over the keys that they see; probabilities are kept for backward."""
    length, scale = q.shape[2], q.shape[-1] ** -0.5
    flat = [t.detach().flatten(0, 1) for t in (q, k, v, gradient)]

    def softmax(scores, first):
        seen = torch.arange(scores.shape[-1])[None] <= torch.arange(scores.shape[1])[:, None] + first
        return torch.where(seen, scores.float() * scale, float("-inf")).softmax(-1).to(scores.dtype)

    def slope(p, dp):
        weighted = p.float() * dp.float()
        return ((weighted - p.float() * weighted.sum(-1, keepdim=True)) * scale).to(p.dtype)

    softmax, slope = torch.compile(softmax, dynamic=False), torch.compile(slope, dynamic=False)
    torch._dynamo.config.cache_size_limit = max(64, 2 * (length // chunk + 1))

    @torch.no_grad()
    def run():
        q, k, v, dy = flat
        y, dq, dk, dv = torch.empty_like(v), torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        kept = []
        for first in range(0, length, chunk):
            end = min(first + chunk, length)
            p = softmax(torch.bmm(q[:, first:end], k[:, :end].transpose(1, 2)), first)
            y[:, first:end] = torch.bmm(p, v[:, :end])
            kept.append((first, end, p))
        for first, end, p in kept:
            d = dy[:, first:end]
            ds = slope(p, torch.bmm(d, v[:, :end].transpose(1, 2)))
            dq[:, first:end] = torch.bmm(ds, k[:, :end])
            dk[:, :end] += torch.bmm(ds.transpose(1, 2), q[:, first:end])
            dv[:, :end] += torch.bmm(p.transpose(1, 2), d)
    return run


if __name__ == "__main__":
    main()
