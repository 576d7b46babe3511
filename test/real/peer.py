"""What transformers makes of a model: the other side of smollm2.test.ts. Prints one JSON line.

  peer.py logits MODEL TEXTS.json OUT.bin   token ids of each text; fp32 logits of all, one after another
  peer.py score MODEL ROWS.jsonl            loss and accuracy of the options " terrible" / " great"

MODEL is a .gguf file or a Hugging Face directory.
"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

OPTIONS = [" terrible", " great"]


def load(path):
    where = {"pretrained_model_name_or_path": path}
    if path.endswith(".gguf"):
        where = {
            "pretrained_model_name_or_path": os.path.dirname(path),
            "gguf_file": os.path.basename(path),
        }
    return (
        AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval(),
        AutoTokenizer.from_pretrained(**where),
    )


@torch.no_grad()
def logits(model, tokenizer, texts, out):
    ids = [tokenizer(text)["input_ids"] for text in texts]
    with open(out, "wb") as file:
        for row in ids:
            file.write(model(torch.tensor([row])).logits[0].numpy().tobytes())
    return {"ids": ids}


@torch.no_grad()
def score(model, tokenizer, rows):
    loss, right = 0.0, 0
    for row in rows:
        prompt = f"{row['sentence']} It was"
        scores = []
        for option in OPTIONS:
            ids = tokenizer(prompt + option)["input_ids"]
            start = len(tokenizer(prompt)["input_ids"])
            logprobs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            picked = [logprobs[i - 1, ids[i]].item() for i in range(start, len(ids))]
            scores.append(sum(picked) / len(picked))
        loss -= torch.tensor(scores).log_softmax(0)[row["label"]].item()
        right += int(scores[1] > scores[0]) == row["label"]
    return {"loss": loss / len(rows), "accuracy": right / len(rows)}


def main():
    what, path, source, *rest = sys.argv[1:]
    model, tokenizer = load(path)
    with open(source, encoding="utf8") as file:
        if what == "logits":
            result = logits(model, tokenizer, json.load(file), rest[0])
        else:
            result = score(model, tokenizer, [json.loads(line) for line in file])
    print(json.dumps(result))


main()
