"""What transformers makes of a model: the other side of smollm2.test.ts. Prints one JSON line.

  peer.py logits MODEL TEXTS.json OUT.bin   token ids of each text; fp32 logits of all, one after another
  peer.py generate MODEL PROMPTS.json N     greedy: N new ids of each text, their text, by how much each id's
                                            logit exceeds the next one's; tokens/s
  peer.py score MODEL ROWS.jsonl            loss and accuracy of the options " terrible" / " great"

MODEL is a .gguf file or a Hugging Face directory.
"""
import json
import os
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

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


@torch.no_grad()
def generate(model, tokenizer, texts, count):
    config = GenerationConfig(
        max_new_tokens=count, do_sample=False, eos_token_id=model.config.eos_token_id,
        pad_token_id=0, output_scores=True, return_dict_in_generate=True)
    results, tokens, seconds = [], 0, 0.0
    for text in texts:
        prompt = tokenizer(text, return_tensors="pt")
        start = time.perf_counter()
        out = model.generate(**prompt, generation_config=config)
        seconds += time.perf_counter() - start
        ids = out.sequences[0].tolist()
        size = prompt["input_ids"].shape[1]
        tokens += len(ids) - size
        decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        best = [scores[0].topk(2).values.tolist() for scores in out.scores]
        results.append({"ids": ids[size:], "text": decode(ids)[len(decode(ids[:size])):],
                        "margins": [a - b for a, b in best]})
    return {"results": results, "tokensPerSecond": tokens / seconds}


def main():
    what, path, source, *rest = sys.argv[1:]
    model, tokenizer = load(path)
    with open(source, encoding="utf8") as file:
        if what == "logits":
            result = logits(model, tokenizer, json.load(file), rest[0])
        elif what == "generate":
            result = generate(model, tokenizer, json.load(file), int(rest[0]))
        else:
            result = score(model, tokenizer, [json.loads(line) for line in file])
    print(json.dumps(result))


main()
