"""Loads exported adapters with PEFT and compares logits: the other side of adapters.test.ts.

    load_adapters.py JOBS.json OUT.json

A job has a model, an exported adapter or prefix, tokens and the logits that zo2 gives with it, and
of adapters the model that they are `merged` with. Its
`made`, a directory, receives one that PEFT has made, which is not zero, and its logits.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM


def base(job):
    return AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32,
                                                attn_implementation="eager")


def logits_of(model, job):
    return model(input_ids=torch.tensor([job["tokens"]]), use_cache=False).logits[0].numpy()


def merged_off(model, job):
    """How far weights that PEFT merges are from those that zo2 has merged, at most: in units in the last place of the
    largest weight of the same tensor."""
    whole, warned = AutoModelForCausalLM.from_pretrained(job["merged"], dtype="auto", output_loading_info=True)
    assert not any(warned.values()), warned
    ours, theirs = whole.state_dict(), model.merge_and_unload().state_dict()
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max() / np.spacing(theirs[name].abs().max().numpy()))
               for name in theirs)


@torch.no_grad()
def load(job):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base(job), job["adapter"]).eval()
    plain, logits = logits_of(base(job).eval(), job), logits_of(model, job)
    given = np.fromfile(job["logits"], "<f4").reshape(logits.shape)
    return {"worst": float(np.abs(logits - given).max()),
            **({"mergedOff": merged_off(model, job)} if "merged" in job else {}),
            "moved": float(np.abs(logits - plain).max()),
            "warnings": [str(w.message) for w in caught if "adapter" in str(w.message)]}


def config_of(job):
    if "virtualTokens" in job:
        return PrefixTuningConfig(num_virtual_tokens=job["virtualTokens"], task_type="CAUSAL_LM")
    saved = json.loads((Path(job["adapter"]) / "adapter_config.json").read_text())
    return LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM", init_lora_weights=False,
                      target_modules=job["targets"], fan_in_fan_out=saved["fan_in_fan_out"])


@torch.no_grad()
def make(job):
    torch.manual_seed(7)
    model = get_peft_model(base(job), config_of(job)).eval()
    model.save_pretrained(job["made"])
    logits_of(model, job).tofile(Path(job["made"]) / "logits.bin")


if __name__ == "__main__":
    torch.set_num_threads(1)
    jobs = json.loads(Path(sys.argv[1]).read_text())
    results = {job["name"]: load(job) for job in jobs}
    for job in jobs:
        make(job)
    Path(sys.argv[2]).write_text(json.dumps(results))
