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


RULES = {"mezo": mezo, "fzoo": fzoo, "spsa1.5": spsa15, "es": es, "meazo": meazo, "lozo": mezo,
         "qzo": mezo}
