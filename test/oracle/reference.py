"""Checks a run against design §3, written from the rules with NumPy alone.

    reference.py check --base DIR --journal FILE --exported DIR [--rows rows.json] [--adapter DIR]

`exported` holds a model or, of a run with adapters, those alone. The exported weights must be the base plus the journal's records bit for bit, every record must
follow from the run's seed and schedule, and, with the rows, losses and projected gradients must
agree with an fp64 forward pass over the same perturbed fp32 weights. Prints one JSON line with the
worst error ratios (of what is allowed) and exits with 1 if anything fails.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from forward64 import Rows
from methods import RULES, threshold
from noise import DataOrder, step_seed
from replay import Weights, learning_rate, read_journal
from weights import canonical, read_directory, read_file

LOSS_TOLERANCE = 1e-5  # relative
# Times L / epsilon. L is the mean loss of language-modelling rows; the loss of option rows is a
# difference of fp32 log-probabilities (rule 9), no better than those: L is their mean size there.
GRADIENT_TOLERANCE = 3e-7


class Report:
    def __init__(self):
        self.problems = []
        self.worst = {"loss": 0.0, "projectedGrad": 0.0, "projectedGradOfLoss": 0.0}

    def expect(self, truth, what):
        if not truth:
            self.problems.append(what)

    def note(self, kind, ratio):
        self.worst[kind] = max(self.worst[kind], float(ratio))

    def ratio(self, kind, error, allowed, where):
        ratio = float(error / allowed)
        self.note(kind, ratio)
        self.expect(ratio <= 1, f"{where}: {kind} off by {error:.3e}, {ratio:.2f} of the allowed")


def check_record(report, header, record, last, t):
    """What follows from the header and the record's own losses, with one rounding to fp32 each."""
    method, where = header["method"], f"step {t}"
    report.expect(record["step"] == t, f"{where}: numbered {record['step']}")
    report.expect(record["seed"] == step_seed(header["seed"], t), f"{where}: seed {record['seed']}")
    lr = learning_rate(method, t)
    report.expect(abs(record["learningRate"] - lr) <= 1e-15 * lr,
                  f"{where}: learning rate {record['learningRate']}, expected {lr}")
    decay = float(np.float32(record["learningRate"] * method["weightDecay"]))
    report.expect(record["decay"] == decay, f"{where}: decay {record['decay']}, expected {decay}")
    if "rank" in method:
        first = t - (t - 1) % method["updateInterval"]
        report.expect(record["basisSeed"] == step_seed(header["seed"], first), f"{where}: basis")
    report.expect(len(record["coefficients"]) == method["directions"], f"{where}: coefficients")
    if record["skipped"]:
        return
    g, c, carried = RULES[method["name"]](method, last, record)
    # Sums over losses may be taken in another order; mezo's rule has none.
    exact = RULES[method["name"]] is RULES["mezo"]
    tolerance = 0 if exact else 1e-12
    close = lambda a, b: len(a) == len(b) and np.allclose(a, b, rtol=tolerance, atol=0)
    report.expect(close(record["projectedGrad"], g),
                  f"{where}: projected gradients {record['projectedGrad']}, losses give {g}")
    rounded = np.float32(c)
    ulps = 0 if exact else 1
    got = np.float32(record["coefficients"])
    report.expect(len(got) == len(rounded) and
                  np.all(np.abs(got - rounded) <= ulps * np.spacing(np.abs(rounded))),
                  f"{where}: coefficients {got}, expected {rounded}")
    for name, value in carried.items():
        report.expect(np.isclose(record[name], value, rtol=1e-12, atol=0),
                      f"{where}: {name} {record[name]}, expected {value}")


def check_losses(report, config, weights, z, record, rows, batch):
    method = weights.header["method"]
    epsilon = method["epsilon"]
    scale = np.float32(epsilon)

    def check(got, scale, k, where):
        expected, size = rows.loss(config, weights.perturbed(z, scale, k), batch)
        report.ratio("loss", abs(got - expected), LOSS_TOLERANCE * expected, where)
        return expected, size

    if "loss" in record:
        check(record["loss"], np.float32(0), 0, f"step {record['step']}, unperturbed")
    for k, g in enumerate(record["projectedGrad"]):
        where = f"step {record['step']}, direction {k}"
        plus, size = check(record["lossPlus"][k], scale, k, where)
        if not record["lossMinus"]:
            continue
        minus, _ = check(record["lossMinus"][k], -scale, k, where)
        if RULES[method["name"]] is not RULES["mezo"]:  # in other units
            continue
        g64 = (plus - minus) / (2 * epsilon)
        if method["clip"] > 0:
            g64 = min(max(g64, -method["clip"]), method["clip"])
        error = abs(g - g64)
        report.ratio("projectedGrad", error, GRADIENT_TOLERANCE * size / epsilon, where)
        of_loss = GRADIENT_TOLERANCE * (plus + minus) / 2 / epsilon
        report.note("projectedGradOfLoss", error / of_loss)


def check_thresholds(report, weights):
    """Of weights as they are before the first step."""
    method, given = weights.header["method"], weights.header.get("thresholds")
    if "sparsity" not in method:
        return report.expect(given is None, "thresholds of a method that has none")
    for t, got in zip(weights.header["tensors"], given):
        w, is_matrix = weights.values[t["name"]], len(t["shape"]) == 2
        has_one = is_matrix and t["trainable"] and t["name"] not in weights.adapters
        expected = float(threshold(w, method["sparsity"])) if has_one else None
        report.expect(got == expected, f"{t['name']}: threshold {got}, expected {expected}")


def check_weights(report, weights, exported):
    kept = [t for t in weights.header["tensors"]
            if not weights.adapters or t["name"] in weights.adapters]
    def place(t):
        """Where an export has it: an untied head under its own name."""
        return {"name": t["name"]} if t["name"] == "lm_head.weight" else t.get("source", t)

    stored = {place(t)["name"] for t in kept}
    report.expect(set(exported) == stored, "the export holds other tensors than the run")
    different = 0
    for t in kept:
        name, w = t["name"], weights.values[t["name"]]
        if place(t)["name"] not in exported:
            report.expect(False, f"{name}: missing from the export")
            continue
        is_head = t["name"] == "lm_head.weight"
        got = np.ascontiguousarray(exported[t["name"]] if is_head else canonical(exported, t))
        if got.shape != w.shape:
            report.expect(False, f"{name}: of another shape in the export")
            continue
        wrong = got.view(np.uint32) != np.ascontiguousarray(w).view(np.uint32)
        different += int(wrong.sum())
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            report.expect(False, f"{name}: {wrong.sum()} of {w.size} differ, first at {at}: "
                                 f"{float(got[at]).hex()}, expected {float(w[at]).hex()}")
    return different


def check(arguments):
    header, records = read_journal(arguments.journal)
    config = json.loads((Path(arguments.base) / "config.json").read_text())
    read_adapter = lambda directory: read_file(Path(directory) / "adapter_model.safetensors")
    start = read_adapter(arguments.adapter) if arguments.adapter else None
    report, weights = Report(), Weights(arguments.base, header, start)
    for t in header["tensors"]:
        matrix = len(t["shape"]) == 2
        report.expect(t["decayed"] == matrix and t["decayed"] == weights.decayed[t["name"]],
                      f"{t['name']}: decayed is {t['decayed']}")
    check_thresholds(report, weights)
    rows = order = None
    saturated, last = 0, None
    if arguments.rows:
        rows = Rows(json.loads(Path(arguments.rows).read_text()))
        of_step = header["batchSize"] * header.get("gradientAccumulationSteps", 1)
        order = DataOrder(header["seed"], len(rows.gold), of_step)
    for t, record in enumerate(records, 1):
        check_record(report, header, record, last, t)
        last = record
        z = weights.draw(record, header["method"]["directions"])
        if rows and not record["skipped"]:
            check_losses(report, config, weights, z, record, rows, order.batch(t))
        saturated = weights.saturated  # the last record is written back after the last step
        weights.apply(record, z)
    exported = read_adapter if weights.adapters else read_directory
    different = check_weights(report, weights, exported(arguments.exported))
    return report, {
        "ok": not report.problems, "steps": len(records), "elements": sum(
            w.size for w in weights.values.values()), "differentElements": different,
        "saturated": saturated, "worstRatio": report.worst, "problems": report.problems[:10],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("check")
    for option in ("--base", "--journal", "--exported"):
        command.add_argument(option, required=True)
    command.add_argument("--rows")
    command.add_argument("--adapter")
    outcome, summary = check(parser.parse_args())
    print(json.dumps(summary))
    sys.exit(1 if outcome.problems else 0)
