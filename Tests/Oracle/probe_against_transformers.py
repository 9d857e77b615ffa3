"""Compares `hadal probe` with DeepSeek models of transformers, on small random configurations.

    python probe_against_transformers.py HADAL_BINARY [--count N] [--seed S] [--keep DIR]

Prints the worst relative error (norm of the difference over norm) of each configuration; exits with 1 above 1e-5.
Multi-token prediction follows spec §2.1: transformers' own norm, linear and decoder layers, put together here.
Needs torch, transformers and safetensors.
"""

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3DecoderLayer, DeepseekV3RMSNorm, DeepseekV3TopkRouter)

LIMIT = 1e-5


# What each kind of configuration changes; sizes are drawn beside it. All of them are tried in turn.
KINDS = {
    "plain": {},
    "yarn": {"yarn": {"mscale": 1.0, "mscale_all_dim": 1.0}},
    "no query compression": {"q_lora_rank": None},
    "shared experts": {"n_shared_experts": 3},
    "dense layers": {"first_k_dense_replace": 2, "num_hidden_layers": 4},
    "halves, not pairs": {"rope_interleave": False},
    "one group": {"n_group": 1, "topk_group": 1},
    "v2 greedy": {"version": 2, "topk_method": "greedy", "n_group": None, "topk_group": None},
    "v2 groups": {"version": 2, "topk_method": "group_limited_greedy", "yarn": {"mscale": 0.707, "mscale_all_dim": 0.707}},
    "yarn, two mscales": {"yarn": {"mscale": 0.8, "mscale_all_dim": 1.3}, "q_lora_rank": None},
    "yarn, one mscale": {"yarn": {"mscale_all_dim": 0.9, "beta_fast": 8, "beta_slow": 2}, "rope_interleave": False},
    "weights not normalized": {"norm_topk_prob": False, "n_shared_experts": 2},
    "mtp": {"num_nextn_predict_layers": 1},
    "mtp of depth 2": {"num_nextn_predict_layers": 2, "first_k_dense_replace": 2, "num_hidden_layers": 3},
    "bfloat16 weights": {"stored": torch.bfloat16, "num_nextn_predict_layers": 1},
    "long rows": {"length": 513, "yarn": {"mscale": 1.0, "mscale_all_dim": 1.0}},
}


def odd(draw, low, high):
    """A number that no vector width divides."""
    return draw.randrange(low | 1, high, 2)


def make_config(kind, draw):
    """A transformers configuration, and what concerns only this script."""
    change = dict(KINDS[kind])
    version, yarn = change.pop("version", 3), change.pop("yarn", None)
    extra = {
        "batch": draw.randint(1, 3), "length": change.pop("length", odd(draw, 19, 47)),
        "stored": change.pop("stored", torch.float32), "mtp_weight": draw.choice([0.1, 0.3, 1.7]),
    }
    heads, groups = draw.choice([1, 3, 5]), change.get("n_group", draw.choice([2, 3, 5])) or 1
    kept = change.get("topk_group", draw.randint(1, groups)) or 1
    per_group = draw.randint(3, 7)
    eligible = (per_group * groups) if change.get("topk_method") == "greedy" else per_group * kept
    dim = odd(draw, 37, 75)
    sizes = {
        "vocab_size": odd(draw, 201, 401), "hidden_size": dim * heads if version == 2 else dim,
        "intermediate_size": odd(draw, 51, 99), "moe_intermediate_size": odd(draw, 13, 37),
        "num_hidden_layers": 3, "num_attention_heads": heads, "num_key_value_heads": heads,
        "q_lora_rank": odd(draw, 17, 45), "kv_lora_rank": odd(draw, 11, 39), "qk_nope_head_dim": odd(draw, 7, 25),
        "qk_rope_head_dim": 2 * odd(draw, 3, 13), "v_head_dim": odd(draw, 5, 27),
        "n_routed_experts": per_group * groups, "n_shared_experts": 1, "n_group": groups, "topk_group": kept,
        "num_experts_per_tok": draw.randint(2, min(eligible, 6)), "first_k_dense_replace": 1,
        "routed_scaling_factor": draw.choice([1.0, 2.5]), "rms_norm_eps": draw.choice([1e-6, 1e-5]),
        "max_position_embeddings": 1024, "initializer_range": 0.02, "attention_dropout": 0.0,
    }
    if version == 2:  # its rotation reads pairs of elements where they lie
        sizes |= {"qk_nope_head_dim": 2 * odd(draw, 3, 13), "kv_lora_rank": 2 * odd(draw, 5, 19)}
    else:
        sizes |= {"norm_topk_prob": True, "rope_interleave": True, "num_nextn_predict_layers": 0}
    if yarn is not None:
        original = draw.choice([32, 64])
        sizes["rope_parameters"] = {
            "rope_type": "yarn", "rope_theta": draw.choice([500.0, 10000.0]), "factor": 1024 / original,
            "original_max_position_embeddings": original, **yarn}
    values = {**sizes, **change}
    return (DeepseekV2Config if version == 2 else DeepseekV3Config)(**values), extra


class Module(torch.nn.Module):
    """One module of multi-token prediction, under the names of layer L + k - 1."""

    def __init__(self, config, layer):
        super().__init__()
        norm = lambda: DeepseekV3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.enorm, self.hnorm, self.head_norm = norm(), norm(), norm()
        self.eh_proj = torch.nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        # Its index is beyond the dense layers, so it has experts.
        self.block = DeepseekV3DecoderLayer(config, layer)

    def forward(self, embedded, hidden, rotary):
        length = hidden.shape[1]
        x = self.eh_proj(torch.cat([self.enorm(embedded), self.hnorm(hidden)], dim=-1))
        mask = torch.full((length, length), -math.inf).triu(1)[None, None]
        positions = torch.arange(length)[None]
        return self.head_norm(self.block(x, attention_mask=mask, position_embeddings=rotary(x, positions)))


def randomize(parameters, generator):
    with torch.no_grad():
        for name, p in parameters:
            noise = torch.randn(p.shape, generator=generator)
            if "e_score_correction_bias" in name:
                p.copy_(0.1 * noise)
            elif p.dim() == 1:
                p.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name:
                p.copy_(noise)
            else:
                p.copy_(noise * 1.2 / math.sqrt(p.shape[-1]))


def on_disk(name, tensor):
    """The tensors that a fused parameter of transformers is in a file, and their names."""
    if name.endswith("experts.gate_up_proj"):
        for e, both in enumerate(tensor):
            for part, half in zip(["gate_proj", "up_proj"], both.chunk(2)):
                yield name.replace("gate_up_proj", f"{e}.{part}.weight"), half
    elif name.endswith("experts.down_proj"):
        for e, one in enumerate(tensor):
            yield name.replace("down_proj", f"{e}.down_proj.weight"), one
    else:
        yield name, tensor


def module_name(name, layer):
    prefix = f"model.layers.{layer}."
    if name.startswith("block."):
        return prefix + name[len("block."):]
    return prefix + name.replace("head_norm", "shared_head.norm")


class Reference:
    """A model with random weights: its files, and what it computes."""

    def __init__(self, config, extra, seed):
        generator = torch.Generator().manual_seed(seed)
        config._attn_implementation = config._experts_implementation = "eager"
        self.config, self.extra = config, extra
        kind = DeepseekV2ForCausalLM if config.model_type == "deepseek_v2" else DeepseekV3ForCausalLM
        self.model = kind(config).float().eval()
        layers = config.num_hidden_layers
        depths = getattr(config, "num_nextn_predict_layers", 0)
        self.modules = [Module(config, layers + k).float().eval() for k in range(depths)]
        self.named = dict(self.model.named_parameters()) | {
            n: b for n, b in self.model.named_buffers() if n.endswith("e_score_correction_bias")}
        for k, module in enumerate(self.modules):
            for n, p in [*module.named_parameters(), *module.named_buffers()]:
                self.named[module_name(n, layers + k)] = p
        randomize(self.named.items(), generator)
        if extra["stored"] != torch.float32:
            with torch.no_grad():
                for name, p in self.named.items():
                    p.copy_(p.to(self.stored(name)).float())
        shape = (extra["batch"], extra["length"])
        self.ids = torch.randint(0, config.vocab_size, shape, generator=generator)

    def stored(self, name):
        return torch.float32 if name.endswith("e_score_correction_bias") else self.extra["stored"]

    def write(self, directory, layout):
        """In one of the ways in which directories are found: one file, two, or shards with an index."""
        self.config.save_pretrained(directory)
        tensors = {n: t.detach().to(self.stored(n)).clone().contiguous()
                   for name, p in self.named.items() for n, t in on_disk(name, p)}
        layers = self.config.num_hidden_layers
        prefixes = tuple(f"model.layers.{layers + k}." for k in range(len(self.modules)))
        beside = {n: t for n, t in tensors.items() if n.startswith(prefixes)}
        main = {n: t for n, t in tensors.items() if n not in beside}
        if layout == "two files" and beside:
            save_file(main, directory / "model.safetensors")
            save_file(beside, directory / "mtp.safetensors")
        elif layout == "shards":
            names = sorted(tensors)
            shards = [names[0::2], names[1::2]]
            weight_map = {}
            for i, shard in enumerate(shards, 1):
                file = f"model-{i:05}-of-00002.safetensors"
                save_file({n: tensors[n] for n in shard}, directory / file)
                weight_map |= {n: file for n in shard}
            index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
            (directory / "model.safetensors.index.json").write_text(json.dumps(index))
        else:
            for prefix in prefixes:  # as released files have it
                tensors[prefix + "embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
                tensors[prefix + "shared_head.head.weight"] = tensors["lm_head.weight"].clone()
            save_file(tensors, directory / "model.safetensors")
        save_file({"input_ids": self.ids}, directory / "in.safetensors")

    def compute(self):
        routers = [m for part in [self.model, *self.modules] for m in part.modules()
                   if isinstance(m, (DeepseekV2TopkRouter, DeepseekV3TopkRouter))]
        routed = {}
        hooks = [r.register_forward_hook(lambda r, _, out: routed.__setitem__(r, out)) for r in routers]
        (batch, length), vocabulary = self.ids.shape, self.config.vocab_size
        hidden = self.model.model(self.ids, use_cache=False).last_hidden_state
        logits = self.model.lm_head(hidden)
        loss = F.cross_entropy(logits[:, :-1].reshape(-1, vocabulary), self.ids[:, 1:].reshape(-1))
        found = {"logits": logits, "loss": loss.reshape(1)}
        total = loss
        if self.modules:
            parts = []
            for k, module in enumerate(self.modules, 1):
                rows = length - k
                embedded = self.model.model.embed_tokens(self.ids[:, k:])
                hidden = module(embedded, hidden[:, :rows], self.model.model.rotary_emb)
                deep = self.model.lm_head(hidden[:, :rows - 1])
                parts.append(F.cross_entropy(deep.reshape(-1, vocabulary), self.ids[:, k + 1:].reshape(-1)))
            found["loss_mtp"] = torch.stack(parts).mean().reshape(1)
            total = total + self.extra["mtp_weight"] * found["loss_mtp"][0]
        total.backward()
        for hook in hooks:
            hook.remove()
        layers = self.config.num_hidden_layers + len(self.modules)
        with_experts = [i for i in range(layers) if i >= self.config.first_k_dense_replace]
        for layer, router in zip(with_experts, routers, strict=True):
            _, weights, indices = routed[router]
            indices, order = indices.sort(dim=-1)
            found[f"routing.{layer}.indices"] = indices
            found[f"routing.{layer}.weights"] = weights.gather(1, order)
        for name, p in self.named.items():
            if name.endswith("e_score_correction_bias"):
                continue
            gradient = p.grad if p.grad is not None else torch.zeros_like(p)
            found |= {f"grad.{n}": g for n, g in on_disk(name, gradient)}
        return {n: t.detach() for n, t in found.items()}


def relative_error(found, expected):
    if found.shape != expected.shape:
        return math.inf
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found.long(), expected.long()) else math.inf
    found, expected = found.double(), expected.double()
    norm, difference = expected.norm().item(), (found - expected).norm().item()
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return difference / norm if math.isfinite(difference) else math.inf


def compare(found, expected):
    """The worst name and its error; a name that only one side has counts as infinitely wrong."""
    names = found.keys() | expected.keys()
    errors = {n: relative_error(found[n], expected[n]) if n in found and n in expected else math.inf for n in names}
    worst = max(errors, key=errors.get)
    return worst, errors[worst]


def run(binary, kind, seed, directory):
    draw = random.Random(seed)
    config, extra = make_config(kind, draw)
    reference = Reference(config, extra, seed)
    layout = draw.choice(["one file", "two files", "shards"])
    reference.write(directory, layout)
    command = [binary, "probe", "--model", directory, "--input", directory / "in.safetensors",
               "--output", directory / "out.safetensors", "--gradients"]
    if reference.modules:
        command += ["--mtp-weight", str(extra["mtp_weight"])]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0 or result.stderr:
        return f"exit {result.returncode}: {result.stderr.strip()}", math.inf
    return compare(load_file(directory / "out.safetensors"), reference.compute())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--count", type=int, default=len(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where to leave the files of each configuration")
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for i in range(options.count):
        kind, seed = list(KINDS)[i % len(KINDS)], options.seed + i
        with tempfile.TemporaryDirectory() as scratch:
            directory = options.keep / f"{seed}" if options.keep else Path(scratch)
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            worst, error = run(options.binary.resolve(), kind, seed, directory)
        failed |= not error <= LIMIT
        print(f"{'ok' if error <= LIMIT else 'FAILED':6} {kind:24} seed {seed:4}  {error:.2e}  {worst}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
