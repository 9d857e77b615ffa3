"""Writes the golden files of Tests/CheckpointTests with the format's own implementation.

pip install safetensors==0.8.0 numpy; python Tests/Golden/make_safetensors.py
Prints the SHA-256 of each file; the tests hold the same numbers.
"""

import hashlib
import math
import pathlib

import numpy
import safetensors
from safetensors import TensorSpec, serialize_file

OUT = pathlib.Path(__file__).parent.parent / "CheckpointTests" / "Golden"
WIDTHS = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e8m0fnu": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "float64": 8, "int64": 8, "uint64": 8,
}


def content(name: str, size: int) -> numpy.ndarray:
    """Bytes that any language can compute: the length of the name in UTF-8, then +7 each, modulo 256."""
    return ((len(name.encode()) + 7 * numpy.arange(size)) % 256).astype(numpy.uint8)


def write(file, tensors, metadata):
    path = OUT / file
    data = {n: content(n, WIDTHS[dtype] * math.prod(shape)) for n, (dtype, shape) in tensors.items()}
    specs = {
        n: TensorSpec(dtype=dtype, shape=shape, data_ptr=data[n].ctypes.data, data_len=data[n].nbytes)
        for n, (dtype, shape) in tensors.items()
    }
    serialize_file(specs, str(path), metadata)
    print(file, hashlib.sha256(path.read_bytes()).hexdigest())


OUT.mkdir(exist_ok=True)
print("safetensors", safetensors.__version__)
every = {f"of.{dtype}": (dtype, [3, 5]) for dtype in WIDTHS}
every["scalar"] = ("float32", [])
every["empty"] = ("bfloat16", [0, 4])
every['quote " slash \\ / line \n tab \t bell \x07 é 深'] = ("uint8", [7])
write("every_type.safetensors", every, {"format": "pt"})
write("no_tensors.safetensors", {}, None)
