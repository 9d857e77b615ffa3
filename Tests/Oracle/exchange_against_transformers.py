"""Compares `hadal import` and `hadal export` with transformers and torch, on small random configurations.

    python exchange_against_transformers.py HADAL_BINARY [--seed S]

A random model goes through files of transformers or of the released layout, `import`, `export` in each format, and:
transformers must load float32 and bfloat16 without a missing tensor, with the bits of the original's weights in that
format and in float32 the bits of its logits; FP8 codes and scales must have the bits that torch gives; and what
`probe` computes from the FP8 directory must be what transformers computes from codes times scales.
Exits with 1 if anything differs. Needs torch, transformers and safetensors.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from probe_against_transformers import Reference, make_config, on_disk, relative_error

KINDS = ["plain", "yarn", "no query compression", "mtp", "dense layers", "halves, not pairs", "v2 greedy", "v2 groups"]
BLOCK = 128
QUANTIZED = tuple(f"{name}.weight" for name in [
    "q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])


def blocks(scales, shape):
    """A scale for each element of a matrix."""
    each = scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return each[:shape[0], :shape[1]]


def quantize(weight):
    """Specification §3.2: codes and the scales that multiply them, for blocks that may be short at the edges."""
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -columns % BLOCK, 0, -rows % BLOCK))
    tiles = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    scales = tiles.abs().amax(dim=(1, 3)).clamp(min=1e-4) / 448
    codes = (weight / blocks(scales, weight.shape)).clamp(-448, 448).to(torch.float8_e4m3fn)
    return codes, scales


class Failures:
    def __init__(self, kind):
        self.kind, self.count = kind, 0

    def check(self, holds, text):
        if not holds:
            self.count += 1
            print(f"FAILED {self.kind}: {text}", flush=True)


def weights(reference):
    """All tensors of a model under their names in files, in float32."""
    return {n: t.detach().clone().contiguous() for name, p in reference.named.items() for n, t in on_disk(name, p)}


def load_all(directory):
    return {n: t for file in sorted(directory.glob("model*.safetensors")) for n, t in load_file(file).items()}


def same(found, expected):
    return found.dtype == expected.dtype and found.shape == expected.shape and torch.equal(
        found.view(torch.uint8), expected.view(torch.uint8))


def check_tensors(failures, found, expected, config):
    """Bit for bit; beside them only the modules' copies of embedding and head."""
    for layer in range(config.num_hidden_layers, config.num_hidden_layers + getattr(config, "num_nextn_predict_layers", 0)):
        expected |= {
            f"model.layers.{layer}.embed_tokens.weight": expected["model.embed_tokens.weight"],
            f"model.layers.{layer}.shared_head.head.weight": expected["lm_head.weight"]}
    failures.check(found.keys() == expected.keys(), f"other tensors: {sorted(found.keys() ^ expected.keys())[:5]}")
    wrong = [n for n in expected if n in found and not same(found[n], expected[n])]
    failures.check(not wrong, f"other bits: {wrong[:5]} of {len(wrong)}")


def in_format(name, tensor, dtype):
    return tensor if name.endswith("e_score_correction_bias") else tensor.to(dtype)


def check_loading(failures, reference, directory, dtype):
    model, info = AutoModelForCausalLM.from_pretrained(
        directory, dtype="auto", output_loading_info=True, attn_implementation="eager")
    failures.check(type(model) is type(reference.model), f"loaded as {type(model).__name__}")
    failures.check(model.dtype == dtype, f"loaded as {model.dtype}")
    failures.check(not info["missing_keys"] and not info["mismatched_keys"], f"not loaded: {info}")
    modules = tuple(f"model.layers.{reference.config.num_hidden_layers + k}." for k in range(len(reference.modules)))
    strange = [n for n in info["unexpected_keys"] if not n.startswith(modules or "-")]
    failures.check(not strange, f"unexpected: {strange[:5]}")
    if dtype == torch.float32:
        model.config._experts_implementation = "eager"
        with torch.no_grad():
            failures.check(torch.equal(model.eval()(reference.ids).logits, reference.model(reference.ids).logits), "logits")


def check_fp8(failures, hadal, reference, directory, values):
    expected = {}
    for name, tensor in values.items():
        if name.endswith(QUANTIZED):
            expected[name], expected[name + "_scale_inv"] = quantize(tensor)
        else:
            expected[name] = in_format(name, tensor, torch.bfloat16)
    config = json.loads((directory / "config.json").read_text())
    failures.check(config["quantization_config"] == {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]},
        "quantization_config")
    found = load_all(directory)
    check_tensors(failures, found, dict(expected), reference.config)
    # What the codes stand for, in the reference model.
    exact = {n: t.float() for n, t in expected.items() if not n.endswith("_scale_inv")}
    for name in [n for n in exact if n.endswith(QUANTIZED)]:
        scales = blocks(expected[name + "_scale_inv"], exact[name].shape)
        exact[name] *= scales
        # Half a step of E4M3: 1/16 of a normal number, 2⁻¹⁰ scales of a subnormal one.
        limit = torch.maximum(values[name].abs() / 16, scales * 2**-10) * (1 + 1e-6)
        failures.check(bool(((exact[name] - values[name]).abs() <= limit).all()), f"{name} is not within a rounding")
    with torch.no_grad():
        for name, p in reference.named.items():
            for n, t in on_disk(name, p):
                t.copy_(exact[n])
        logits = reference.model(reference.ids).logits
    save_file({"input_ids": reference.ids}, directory / "in.safetensors")
    run(hadal, "probe", "--model", directory, "--input", directory / "in.safetensors", "--output", directory / "out")
    error = relative_error(load_file(directory / "out")["logits"], logits)
    failures.check(error <= 1e-5, f"probe of FP8: {error:.2e}")
    return exact


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {result.returncode}: {result.stderr.strip()}")


def exchange(hadal, kind, seed, scratch):
    draw = random.Random(seed)
    config, extra = make_config(kind, draw)
    config.hidden_size = 3 * config.num_attention_heads * 47 if config.model_type == "deepseek_v2" else 141
    reference = Reference(config, extra, seed)
    with torch.no_grad():  # below the floor of amax
        reference.named["model.layers.0.self_attn.o_proj.weight"].mul_(1e-6)
    reference.write(scratch / "source", draw.choice(["one file", "two files", "shards"]))
    (scratch / "source" / "in.safetensors").unlink()
    values, failures = weights(reference), Failures(kind)
    run(hadal, "import", "--from", scratch / "source", "--to", scratch / "imported")
    for name, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16)]:
        run(hadal, "export", "--checkpoint", scratch / "imported", "--to", scratch / name, "--dtype", name)
        expected = {n: in_format(n, t, dtype) for n, t in values.items()}
        check_tensors(failures, load_all(scratch / name), expected, config)
        check_loading(failures, reference, scratch / name, dtype)
    run(hadal, "export", "--checkpoint", scratch / "imported", "--to", scratch / "fp8", "--dtype", "fp8")
    exact = check_fp8(failures, hadal, reference, scratch / "fp8", values)
    run(hadal, "import", "--from", scratch / "fp8", "--to", scratch / "again")
    run(hadal, "export", "--checkpoint", scratch / "again", "--to", scratch / "decoded")
    check_tensors(failures, load_all(scratch / "decoded"), exact, config)
    return failures.count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    failed = 0
    for i, kind in enumerate(KINDS):
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "source").mkdir()
            count = exchange(options.binary.resolve(), kind, options.seed + i, Path(scratch))
        failed += count
        print(f"{'FAILED' if count else 'ok':6} {kind}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
