"""MeZO on PyTorch and transformers: the peer of the step suites.

One process, asked line by line on stdin with JSON, answering line by line on stdout:

  {"load": MODEL, "threads": N}                         MODEL: Hugging Face directory or .gguf
  {"task": "lm", "ids": [[...], ...]}                   rows of token ids, each predicting the next
  {"task": "options", "rows": [[text, label], ...], "options": [...], "share": bool}
  {"steps": N}                                          -> {"ms": [...], "loss": ...}
  {"evaluate": [[text, label], ...], "options": [...]}  -> {"ms": ..., "accuracy": ...}
  {"peak": true}                                        -> {"bytes": peak resident memory}

The step is Algorithm 1 of MeZO (arXiv 2305.17333) as its repository has it: perturb in place by +eps,
forward, by -2 eps, forward, by +eps again, then update; noise redrawn from the step's seed four times,
parameter by parameter. Made as fast as the algorithm allows: in-place arithmetic, one preallocated buffer
for noise, inference mode, all threads, eager fp32 (bf16 is slower on CPUs without bf16 units).

Option scoring follows MeZO: every option is a sequence of its own, padded. With "share" (not in MeZO)
options of one token are read off one forward pass per row, and logits are computed at that position only.

Evaluation is MeZO's own loop (run.py, one_step_pred): a forward pass for every option of every row.
"""

import json
import os
import resource
import sys
import time

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

EPSILON, LEARNING_RATE = 1e-3, 1e-6


def load(path):
    where = {"pretrained_model_name_or_path": path}
    if path.endswith(".gguf"):
        where = {"pretrained_model_name_or_path": os.path.dirname(path), "gguf_file": os.path.basename(path)}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    return model, where


class Mezo:
    def __init__(self, path):
        self.model, self.where = load(path)
        # parameters() yields a tied tensor once.
        self.parameters = list(self.model.parameters())
        self.noise = torch.empty(max(p.numel() for p in self.parameters))
        self.steps = 0

    def walk(self, seed, scale):
        torch.manual_seed(seed)
        for p in self.parameters:
            z = self.noise[: p.numel()].normal_().view_as(p)
            p.add_(z, alpha=scale)

    def step(self):
        seed = self.steps
        self.walk(seed, EPSILON)
        plus = self.loss()
        self.walk(seed, -2 * EPSILON)
        minus = self.loss()
        self.walk(seed, EPSILON)
        self.walk(seed, -LEARNING_RATE * (plus - minus) / (2 * EPSILON))
        self.steps += 1
        return (plus + minus) / 2

    def language_modelling(self, ids):
        rows = torch.tensor(ids)
        inputs, targets = rows[:, :-1], rows[:, 1:].reshape(-1)
        self.loss = lambda: cross_entropy(self.model(inputs).logits.flatten(0, 1), targets).item()

    def options(self, rows, options, share):
        tokenizer = AutoTokenizer.from_pretrained(**self.where)
        gold = torch.tensor([label for _, label in rows])
        prompts = [tokenizer(text)["input_ids"] for text, _ in rows]
        if share:
            words = torch.tensor([tokenizer(option)["input_ids"] for option in options])
            if words.shape[1] != 1:
                raise SystemExit("options must be one token each to be shared")
            inputs, mask, last = pad(prompts)

            def shared():
                hidden = self.model.model(input_ids=inputs, attention_mask=mask).last_hidden_state
                logits = self.model.lm_head(hidden[torch.arange(len(last)), last])
                return cross_entropy(logits.log_softmax(-1)[:, words[:, 0]], gold).item()

            self.loss = shared
            return
        sequences = [tokenizer(text + option)["input_ids"] for text, _ in rows for option in options]
        starts = [len(prompt) for prompt in prompts for _ in options]
        inputs, mask, _ = pad(sequences)

        def scored():
            logprobs = self.model(input_ids=inputs, attention_mask=mask).logits.log_softmax(-1)
            scores = []
            for i, (ids, start) in enumerate(zip(sequences, starts)):
                at = torch.arange(start, len(ids))
                scores.append(logprobs[i, at - 1, torch.tensor(ids)[at]].mean())
            return cross_entropy(torch.stack(scores).view(len(rows), len(options)), gold).item()

        self.loss = scored

    def accuracy(self, rows, options):
        tokenizer = AutoTokenizer.from_pretrained(**self.where)
        right = 0
        for text, label in rows:
            start = len(tokenizer(text)["input_ids"])
            scores = []
            for option in options:
                ids = torch.tensor(tokenizer(text + option)["input_ids"])
                logprobs = self.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
                scores.append(logprobs[torch.arange(len(ids) - 1), ids[1:]][start - 1:].mean())
            right += int(torch.stack(scores).argmax()) == label
        return right / len(rows)


def pad(sequences):
    longest = max(map(len, sequences))
    inputs = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sequences])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in sequences])
    return inputs, mask, torch.tensor([len(ids) - 1 for ids in sequences])


@torch.inference_mode()
def main():
    mezo = None
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        if "load" in asked:
            torch.set_num_threads(asked["threads"])
            mezo = Mezo(asked["load"])
            answer = {"torch": torch.__version__}
        elif asked.get("task") == "lm":
            mezo.language_modelling(asked["ids"])
        elif asked.get("task") == "options":
            mezo.options(asked["rows"], asked["options"], asked["share"])
        elif "steps" in asked:
            times, loss = [], None
            for _ in range(asked["steps"]):
                began = time.perf_counter()
                loss = mezo.step()
                times.append(1e3 * (time.perf_counter() - began))
            answer = {"ms": times, "loss": loss}
        elif "evaluate" in asked:
            began = time.perf_counter()
            accuracy = mezo.accuracy(asked["evaluate"], asked["options"])
            answer = {"ms": 1e3 * (time.perf_counter() - began), "accuracy": accuracy}
        elif "peak" in asked:
            answer = {"bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
        print(json.dumps(answer), flush=True)


main()
