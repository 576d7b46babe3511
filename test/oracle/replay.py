"""Design rules 4 to 6 and the journal: W_t as a pure function of base weights and records."""

import json
import math
from pathlib import Path

import numpy as np

import noise
from methods import moments
from weights import TrainedScales, canonical, imported, read_directory, round_weight, seen

F = np.float32


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(crc, data):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def read_journal(path):
    """Header and records; every line ends with a checksum that continues the line before it."""
    crc, lines = 0, []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        body, _, tail = line.rpartition(b',"crc":"')
        crc = crc32c(crc, body)
        if tail != f'{crc:08x}"}}'.encode():
            raise ValueError(f"{path}: line {number}: checksum {tail!r}, expected {crc:08x}")
        lines.append(json.loads(line))
    return lines[0], lines[1:]


def learning_rate(method, step):
    peak, warmup = method["learningRate"], method["warmupSteps"]
    if step <= warmup:
        return peak * step / warmup
    if method["lrSchedulerType"] == "constant":
        return peak
    done = min((step - 1 - warmup) / max(method["steps"] - warmup, 1), 1)
    linear = method["lrSchedulerType"] == "linear"
    shape = 1 - done if linear else 0.5 * (1 + math.cos(math.pi * done))
    return peak * (method["minLearningRateRatio"] + (1 - method["minLearningRateRatio"]) * shape)


class Weights:
    """The trained tensors by name, in fp32, as of the last applied record.

    `values` are the weights, `seen` what a forward pass computes with: they differ for bf16+8.
    """

    def __init__(self, base, header, adapter=None):
        self.header = header
        stored = read_directory(base)
        self.ids = {t["name"]: t["id"] for t in header["tensors"]}
        # Decay by role: matrices and tables, never norms and biases.
        self.decayed = {t["name"]: t["role"] not in ("norm", "bias") for t in header["tensors"]}
        self.trained = {t["name"] for t in header["tensors"] if t["trainable"]}
        self.adapters = {t["name"] for t in header["tensors"] if t["role"] == "adapter"}
        self.values, self.seen, self.scales, self.saturated = {}, {}, {}, 0
        self.by_scales = {}  # matrices of q8s
        self.window = []  # of records that were applied, with their z
        for t in header["tensors"]:
            if t["name"] in self.adapters:
                w = self.values[t["name"]] = self.seen[t["name"]] = self.start(t, adapter)
                continue
            w = np.ascontiguousarray(canonical(stored, t))
            if list(w.shape) != t["shape"]:
                raise ValueError(f"{t['name']}: shape {w.shape}, journal says {t['shape']}")
            scale = None
            if w.ndim == 2 and header["storage"] == "q8s":
                self.by_scales[t["name"]] = TrainedScales(w)
                w = self.by_scales[t["name"]].weights()
            elif w.ndim == 2:
                w, scale = imported(w, header["storage"])
            self.values[t["name"]], self.scales[t["name"]] = w, scale
            self.seen[t["name"]] = seen(w, header["storage"]) if w.ndim == 2 else w

    def start(self, tensor, adapter):
        """An adapter's tensor before the first step; `adapter`: what the run was given, if it was."""
        if adapter is not None:
            return np.ascontiguousarray(canonical(adapter, tensor))
        if tensor["name"].endswith("lora_B.weight"):
            return np.zeros(tensor["shape"], F)
        is_prefix = self.header["adapter"]["peftType"] == "PREFIX_TUNING"
        start = noise.prefix_start if is_prefix else noise.adapter_start
        return start(self.header["adapter"]["seed"], tensor["id"], *tensor["shape"])

    def noise(self, name, record, direction):
        shape, seed = self.values[name].shape, record["seed"]
        if name in self.by_scales:
            shape = self.by_scales[name].scale.shape
        rank = self.header["method"].get("rank", 0)
        turned = self.header["method"]["name"] == "subzero"
        thin = len(shape) == 2 and min(shape) > 4 * rank if turned else len(shape) == 2
        if rank > 0 and thin and name not in self.adapters:
            return noise.low_rank(seed, record["basisSeed"], rank, self.ids[name], *shape,
                                  direction, turned)
        draw = noise.signs if self.header["distribution"] == "rademacher" else noise.normals
        rows, columns = shape if len(shape) == 2 else (1, shape[0])
        return draw(seed, self.ids[name], rows, columns, direction).reshape(shape)

    def draw(self, record, directions):
        """z of every tensor and direction of a step."""
        return {name: [self.noise(name, record, k) for k in range(directions)]
                for name in self.trained}

    def moves(self, name, w, z):
        """What a unit of z changes of a weight."""
        return w * self.by_scales[name].of_columns(z) if name in self.by_scales else z

    def perturbed(self, z, scale, direction):
        """Rule 4, then widened for the fp64 forward, LoRA's adapters merged into what they stand
        beside."""
        w = {name: (self.masked(name, w, w + F(scale) * self.moves(name, w, z[name][direction]))
                    if name in self.trained else w).astype(np.float64)
             for name, w in self.seen.items()}
        for b in sorted(self.adapters):
            if not b.endswith(".lora_B.weight"):
                continue
            module = b.removesuffix(".lora_B.weight")
            a = module + ".lora_A.weight"
            if a not in w:  # of parts that are stored as one: c_attn.q
                a = module.rpartition(".")[0] + ".lora_A.weight"
            saved = self.header["adapter"]
            w[module + ".weight"] = w[module + ".weight"] + \
                saved["loraAlpha"] / saved["r"] * (w[b] @ w[a])
        return w

    def masked(self, name, before, after):
        """Sparse-MeZO: what is above the tensor's threshold stays."""
        limit = self.header.get("thresholds", {self.ids[name]: None})[self.ids[name]]
        return after if limit is None else np.where(np.abs(before) <= F(limit), after, before)

    def moved(self, name, w, record, z):
        """Rule 5, or the method's own; `z` belongs to the last record of the window."""
        s = F(record["decay"] if self.decayed[name] else 0) * w
        method = self.header["method"]
        if "window" not in method:
            for c, zk in zip(record["coefficients"], z[name]):
                s = s + F(c) * zk
            return self.masked(name, w, w - s)
        m, v = np.zeros_like(w), np.zeros_like(w)
        for i, k, a, b in moments(method, [of for of, _ in self.window]):
            zk = self.window[i][1][name][k]
            m, v = m + a * zk, v + b * (zk * zk)
        zeta = F(method["adamEpsilon"])
        return w - (s + F(record["learningRate"]) * (m / (np.sqrt(v) + zeta)))

    def apply(self, record, z):
        """Rule 5 and, at rounding steps, rule 6."""
        if record["skipped"]:
            return
        self.window = [*self.window, (record, z)][-self.header["method"].get("window", 1):]
        rounds = record["step"] % self.header["roundEvery"] == 0
        for name, w in self.values.items():
            if name not in self.trained:
                continue
            if name in self.by_scales:
                decay = record["decay"] if self.decayed[name] else 0
                self.by_scales[name].move(decay, record["coefficients"], z[name])
                self.values[name] = self.seen[name] = self.by_scales[name].weights()
                continue
            before, storage = self.seen[name], self.header["storage"]
            is_same = before is w
            w = self.moved(name, w, record, z)
            self.seen[name] = w if is_same else self.moved(name, before, record, z)
            if rounds and w.ndim == 2 and name not in self.adapters:
                w, saturated = round_weight(w, storage, self.header["rounding"], record["seed"],
                                            self.ids[name], self.scales[name])
                self.seen[name] = seen(w, storage)
                self.saturated += saturated
            self.values[name] = w
