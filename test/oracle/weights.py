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
    first = source["firstRow"], source.get("firstColumn", 0)
    return w[tuple(slice(i, i + n) for i, n in zip(first, tensor["shape"]))]


def scales(w):
    """q8: of every group of 32 columns, as wide as the matrix; bf16 numbers, fixed at import."""
    rows, columns = w.shape
    groups = -(-columns // 32)
    padded = np.zeros((rows, groups * 32), F)
    padded[:, :columns] = np.abs(w)
    largest = padded.reshape(rows, groups, 32).max(axis=2)
    of_row = largest.max(axis=1, keepdims=True)
    bits = (np.maximum(largest, of_row / F(16)) / F(96)).view(np.uint32)
    up = np.maximum((bits + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000), np.uint32(0x00800000))
    scale = np.where(of_row == 0, F(2.0**-12), up.view(F))
    return np.repeat(scale, 32, axis=1)[:, :columns]


class TrainedScales:
    """q8s: the steps and scales of q8, of which the scales train, by what is relative to them."""

    def __init__(self, w):
        scale = scales(w)
        self.steps = np.rint(w / scale) + F(0)  # zero has one sign
        self.scale = np.ascontiguousarray(scale[:, ::32])

    def of_columns(self, numbers):
        """A number for each group, as wide as the matrix."""
        return np.repeat(numbers, 32, axis=1)[:, :self.steps.shape[1]]

    def weights(self):
        return self.steps * self.of_columns(self.scale)

    def move(self, decay, coefficients, z):
        s = F(decay) * self.scale
        for c, zk in zip(coefficients, z):
            s = s + F(c) * (self.scale * zk)
        moved = self.scale - s
        self.scale = np.where(moved > 0, moved, F(0))


def on_grid(steps, scale):
    """Whole steps of the scale (zero has one sign), and how many the end of the grid held back."""
    kept = np.clip(steps, F(-127), F(127))
    return (kept + F(0)) * scale, int((kept != steps).sum())


def seen(w, storage):
    """What a forward pass sees of a stored value: of bf16+8 the plane, the bf16 nearest to it."""
    if storage != "bf16+8":
        return w
    return ((w.view(np.uint32) + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(F)


def imported(w, storage):
    """The stored value of a base weight, and the scales of its groups if it has any."""
    if storage != "q8":
        return nearest(w, storage), None
    scale = scales(w)
    return on_grid(np.rint(w / scale), scale)[0], scale


def nearest(w, storage):
    """To nearest, ties to even; f16 saturates."""
    if storage == "f32":
        return w
    if storage == "bf16+8":
        bits = w.view(np.uint32)
        return ((bits + np.uint32(0x7F) + ((bits >> 8) & 1)) & np.uint32(0xFFFFFF00)).view(F)
    if storage == "f16":
        return np.clip(w, F(-65504), F(65504)).astype(np.float16).astype(F)
    bits = w.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(F)


def stochastic(w, storage, random):
    """Away from zero with probability equal to the remainder, by one random word per element."""
    bits = w.view(np.uint32)
    if storage == "bf16+8":
        return ((bits + (random >> 24)) & np.uint32(0xFFFFFF00)).view(F)
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


def round_weight(w, storage, rounding, seed, tensor, scale):
    """The rounded value, and how many elements the end of a grid held back."""
    if storage == "f32":
        return w, 0
    if storage != "q8":
        if rounding == "nearest":
            return nearest(w, storage), 0
        return stochastic(w, storage, noise.rounding_words(seed, tensor, *w.shape)), 0
    steps = np.clip(w / scale, F(-128), F(128))
    if rounding == "nearest":
        return on_grid(np.rint(steps), scale)
    whole = np.floor(steps)
    up = steps - whole > (noise.rounding_words(seed, tensor, *w.shape) >> 8).astype(F) * F(2.0**-24)
    return on_grid(whole + up.astype(F), scale)
