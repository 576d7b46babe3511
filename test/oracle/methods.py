"""Each method's rule, from its paper: losses of a step, and the record before it, to projected
gradients and coefficients in fp64 (docs/methods.md), and what the record carries on."""

import numpy as np


def clip(method, g):
    return np.clip(g, -method["clip"], method["clip"]) if method["clip"] > 0 else g


def losses_of(record):
    return np.array(record["lossPlus"]), np.array(record["lossMinus"])


def mezo(method, last, record):
    plus, minus = losses_of(record)
    g = clip(method, (plus - minus) / (2 * method["epsilon"]))
    return g, record["learningRate"] * g / len(g), {}


def fzoo(method, last, record):
    plus, _ = losses_of(record)
    sigma = np.std(plus)
    g = clip(method, (plus - record["loss"]) / sigma) if sigma > 0 else np.zeros(len(plus))
    return g, record["learningRate"] * g / len(g), {}


def spsa15(method, last, record):
    plus, minus = losses_of(record)
    curvature = np.abs(plus - 2 * record["loss"] + minus) / method["epsilon"] ** 2
    by = np.maximum(curvature ** method["saturatingAlpha"], method["lambdaReg"])
    g = clip(method, (plus - minus) / (2 * method["epsilon"] * by))
    return g, record["learningRate"] * g / len(g), {}


def es(method, last, record):
    plus, minus = losses_of(record)
    sigma = np.std(np.concatenate([plus, minus]))
    g = clip(method, (plus - minus) / (sigma + 1e-8))
    return g, record["learningRate"] * g / (2 * len(g)), {}


def meazo(method, last, record):
    g, _, _ = mezo(method, last, record)
    beta = method["adamBeta2"]
    before = last or {"secondMoment": 0.0, "count": 0}
    count = before["count"] + 1
    second = beta * before["secondMoment"] + (1 - beta) * np.mean(g) ** 2
    by = np.sqrt(second / (1 - beta**count)) + method["adamEpsilon"]
    c = record["learningRate"] * g / (len(g) * by)
    return g, c, {"secondMoment": second, "count": count}


def adamezo(method, last, record):
    g, _, _ = mezo(method, last, record)
    return g, g / len(g), {}


RULES = {"mezo": mezo, "fzoo": fzoo, "spsa1.5": spsa15, "es": es, "meazo": meazo, "lozo": mezo,
         "subzero": mezo, "sparse": mezo, "adamezo": adamezo, "qzo": mezo}


def moments(method, window):
    """AdaMeZO: (record, direction, a, b) of a window of records, oldest first; a z and b z^2 are what
    the moments are sums of. Adam's weights in fp64, corrected for the window's length."""
    betas = method["adamBeta1"], method["adamBeta2"]
    powers = [[1.0], [1.0]]
    for p, beta in zip(powers, betas):
        for _ in window:
            p.append(p[-1] * beta)
    of = [(1 - beta) / (1 - p[len(window)]) for p, beta in zip(powers, betas)]
    for i, record in enumerate(window):
        age = len(window) - 1 - i
        for k, c in enumerate(record["coefficients"]):
            yield i, k, np.float32(of[0] * powers[0][age] * c), \
                np.float32(of[1] * powers[1][age] * (c * c))


def threshold(w, sparsity):
    """Sparse-MeZO: the magnitude that `sparsity` of the elements are above, in bins of a float's
    upper 16 bits."""
    bins = np.sort((np.abs(w).view(np.uint32) >> 16).ravel())
    rank = int(np.ceil((1 - sparsity) * w.size))
    return (bins[rank - 1:rank] << 16 | 0xFFFF).astype(np.uint32).view(np.float32)[0]
