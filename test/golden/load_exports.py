"""Loads exported models with transformers and compares logits: the other side of exports.test.ts.

    load_exports.py JOBS.json OUT.json
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM


@torch.no_grad()
def load(job):
    model, info = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    logits = model(input_ids=torch.tensor([job["tokens"]]), use_cache=False).logits[0].numpy()
    given = np.fromfile(job["logits"], "<f4").reshape(logits.shape)
    return {"worst": float(np.abs(logits - given).max()),
            "missing": sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"])),
            "unexpected": sorted(info["unexpected_keys"])}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf8") as file:
        jobs = json.load(file)
    with open(sys.argv[2], "w", encoding="utf8") as file:
        json.dump({job["name"]: load(job) for job in jobs}, file)
