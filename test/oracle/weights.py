"""Checkpoints (safetensors, one file or many) and the storage types of design rule 6."""

import json
import struct
from pathlib import Path

import numpy as np

import noise

F = np.float32


def read_file(path):
    """{name: fp32 array} of one safetensors file; bf16 and f16 widen exactly."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + o for o in entry["data_offsets"])
        raw = data[begin:end]
        if entry["dtype"] == "F32":
            values = np.frombuffer(raw, "<f4")
        elif entry["dtype"] == "F16":
            values = np.frombuffer(raw, "<f2").astype(F)
        elif entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(F)
        else:
            raise ValueError(f"{path}: dtype {entry['dtype']} of {name}")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def read_directory(directory):
    index = Path(directory) / "model.safetensors.index.json"
    files = ["model.safetensors"]
    if index.exists():
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    tensors = {}
    for file in files:
        tensors |= read_file(Path(directory) / file)
    return tensors


def canonical(stored, tensor):
    """A tensor of the journal's list, from the tensors of a checkpoint."""
    source = tensor.get("source")
    if source is None:
        return stored[tensor["name"]]
    w = stored[source["name"]]
    if list(w.shape) != source["shape"]:
        raise ValueError(f"{source['name']}: shape {w.shape}, journal says {source['shape']}")
    if source["transposed"]:
        w = w.T
    return w[source["firstRow"]:source["firstRow"] + tensor["shape"][0]]


def nearest(w, storage):
    """To nearest, ties to even; f16 saturates."""
    if storage == "f32":
        return w
    if storage == "f16":
        return np.clip(w, F(-65504), F(65504)).astype(np.float16).astype(F)
    bits = w.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(F)


def stochastic(w, storage, random):
    """Away from zero with probability equal to the remainder, by one random word per element."""
    bits = w.view(np.uint32)
    if storage == "bf16":
        up = (bits + (random >> 16)) & np.uint32(0xFFFF0000)
        finite = (up & 0x7FFFFFFF) < 0x7F800000
        return np.where(finite, up, bits & np.uint32(0xFFFF0000)).view(F)
    # Exact in fp64: the magnitude in units of the f16 grid around it.
    magnitude = np.abs(w).astype(np.float64)
    _, exponent = np.frexp(magnitude)
    is_subnormal = magnitude < 2.0**-14
    unit = np.where(is_subnormal, 2.0**-24, np.exp2(exponent - 11.0))
    whole = np.floor(magnitude / unit)
    rest = magnitude / unit - whole
    # fp32 has 13 bits below the f16 grid where f16 is normal, and up to 24 where it is not.
    up_normal = rest * 2**13 + (random >> 19) >= 2**13
    up_subnormal = rest > (random >> 8) * 2.0**-24
    rounded = (whole + np.where(is_subnormal, up_subnormal, up_normal)) * unit
    return np.copysign(np.minimum(rounded, 65504.0), w).astype(F)


def round_weight(w, storage, rounding, seed, tensor):
    if storage == "f32":
        return w
    if rounding == "nearest":
        return nearest(w, storage)
    return stochastic(w, storage, noise.rounding_words(seed, tensor, *w.shape))
