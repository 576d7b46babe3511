"""The distribution that transformers' warpers make of logits: the other side of sampling.test.ts.

    filtered.py JOBS.json OUT.json

A job: logits (one row), temperature, topK, topP. The result: probability of every id.
"""

import json
import sys

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


def probabilities(job):
    scores = torch.tensor([job["logits"]], dtype=torch.float64)
    scores = TemperatureLogitsWarper(float(job["temperature"]))(None, scores)
    if job["topK"] > 0:
        scores = TopKLogitsWarper(job["topK"])(None, scores)
    if job["topP"] < 1:
        scores = TopPLogitsWarper(float(job["topP"]))(None, scores)
    return scores.softmax(-1)[0].tolist()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf8") as file:
        jobs = json.load(file)
    with open(sys.argv[2], "w", encoding="utf8") as file:
        json.dump([probabilities(job) for job in jobs], file)
