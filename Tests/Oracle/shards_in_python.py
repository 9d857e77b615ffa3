#!/usr/bin/env python3
"""Opens every file of a checkpoint with the safetensors package, and puts the tensors together as the manifest says.

    Tests/Oracle/shards_in_python.py HADAL

A small run is saved in one file and converted to three; both must hold the same bits.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open

CONFIGURATION = """
model: {vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
  q_lora_rank: null, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 8, n_routed_experts: 4,
  num_experts_per_tok: 2, moe_intermediate_size: 16, first_k_dense_replace: 1, max_position_embeddings: 32}
data: {synthetic: true}
training: {steps: 2, sequence_length: 32, micro_batch_size: 2, global_batch_size: 2}
"""

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    """All tensors, each element from the one slice that has it."""
    manifest = json.loads((directory / "manifest.json").read_text())
    files = {entry["name"]: safe_open(directory / entry["name"], framework="pt") for entry in manifest["files"]}
    unused = {(name, key) for name, file in files.items() for key in file.keys()}
    result = {}
    for entry in manifest["tensors"]:
        tensor = torch.zeros(entry["shape"], dtype=TYPES[entry["dtype"]])
        covered = torch.zeros(entry["shape"], dtype=torch.int32)
        for part in entry["slices"]:
            box = tuple(slice(start, start + count) for start, count in zip(part["offset"], part["shape"]))
            tensor[box] = files[part["file"]].get_tensor(part["key"])
            covered[box] += 1
            unused.remove((part["file"], part["key"]))
        assert bool((covered == 1).all()), f"{entry['name']}: not every element is in one slice"
        result[entry["name"]] = tensor
    assert not unused, f"the manifest does not use {sorted(unused)[:3]}"
    return result


def main() -> None:
    hadal = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "tiny.yaml").write_text(CONFIGURATION)
        for arguments in (
            ["train", "tiny.yaml"],
            ["checkpoint", "convert", "--checkpoint", "runs/tiny", "--files", "3", "--to", "three"],
        ):
            subprocess.run([hadal, *arguments], cwd=directory, check=True, capture_output=True)
        one = tensors(directory / "runs/tiny/checkpoints/step-2")
        three = tensors(directory / "three/step-2")
    assert len(list(one)) > 50 and one.keys() == three.keys(), (len(one), len(three))
    for name, tensor in one.items():
        assert torch.equal(tensor.view(torch.uint8), three[name].view(torch.uint8)), name
    print(f"{len(one)} tensors in one file and in three are the same to the safetensors package")


main()
