"""Greedy continuations by transformers: the other side of generation.test.ts.

    generate.py JOBS.json OUT.json

A job: model, prompts (ids), maxNewTokens, eos (ids). The result: for each prompt the new ids, and for each of
them by how much its logit exceeds the second one's.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, GenerationConfig


@torch.no_grad()
def generate(job):
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="eager").eval()
    config = GenerationConfig(
        max_new_tokens=job["maxNewTokens"], do_sample=False, pad_token_id=0,
        eos_token_id=job["eos"] or None, output_scores=True, return_dict_in_generate=True)
    results = []
    for prompt in job["prompts"]:
        ids = torch.tensor([prompt])
        # Without a mask, ids that happen to be the padding's would not be seen.
        out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        best = [scores[0].topk(2).values.tolist() for scores in out.scores]
        results.append({"ids": out.sequences[0, len(prompt):].tolist(),
                        "margins": [a - b for a, b in best]})
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf8") as file:
        jobs = json.load(file)
    with open(sys.argv[2], "w", encoding="utf8") as file:
        json.dump([generate(job) for job in jobs], file)
