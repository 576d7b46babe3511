"""What transformers makes of conversations: python chat.py REQUEST.json, an answer a request on stdout.

A request: {"model": directory or .gguf, "template": Jinja or null, "conversations": [{"messages",
"tools", "variables"}], "prompt": whether to add the generation prompt}. The answer: {"text", "ids",
"mask"} of each conversation; the mask is null for templates without {% generation %}. A conversation
{"pair": [prompt, completion]} is tokenized as TRL's SFTTrainer does it, its mask that of the completion."""

import json
import os
import sys

from transformers import AutoTokenizer


def load(path):
    if path.endswith(".gguf"):
        folder, file = os.path.split(path)
        return AutoTokenizer.from_pretrained(folder, gguf_file=file)
    return AutoTokenizer.from_pretrained(path)


def complete(tokenizer, prompt, completion):
    text = prompt + completion + tokenizer.eos_token
    ids = tokenizer(text)["input_ids"]
    asked = tokenizer(prompt)["input_ids"]
    assert ids[:len(asked)] == asked
    return {"text": text, "ids": ids, "mask": [int(i >= len(asked)) for i in range(len(ids))]}


def render(tokenizer, request, conversation):
    if "pair" in conversation:
        return complete(tokenizer, *conversation["pair"])
    template = request.get("template") or tokenizer.get_chat_template()
    options = {
        "chat_template": template,
        "tools": conversation.get("tools"),
        "add_generation_prompt": request.get("prompt", False),
        **conversation.get("variables", {}),
    }
    messages = conversation["messages"]
    text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    marked = "generation" in template.replace("add_generation_prompt", "")
    both = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=marked, **options)
    return {"text": text, "ids": both["input_ids"], "mask": both.get("assistant_masks")}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf8") as file:
        requests = json.load(file)
    tokenizers = {path: load(path) for path in {request["model"] for request in requests}}
    print(json.dumps([
        [render(tokenizers[r["model"]], r, c) for c in r["conversations"]] for r in requests]))
