"""Plain MeZO fine-tuning of the bundled model in PyTorch: the reference for `npm start`.

    python simulate_mezo.py ../../models/reviews-tiny ../../data/reviews --seeds 0 1 2
    python simulate_mezo.py ... --eval-on dev --lr 1e-4 1.5e-4  # how the settings were chosen

Every step draws one Gaussian z over all parameters, measures the loss of one
minibatch at theta + eps*z and at theta - eps*z, and moves theta along z by
-lr * (L+ - L-) / (2*eps). No gradients are ever computed. The random numbers
are PyTorch's, so the figures agree with the engine's only statistically.

Accuracy is printed three ways: zero-shot with the threshold at 0 (raw),
zero-shot with the threshold on logp(great) - logp(terrible) that is best on
the training rows (calibrated: no learning, only the class bias removed), and
after fine-tuning with the threshold at 0.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "{} It was"
OPTIONS = [" terrible", " great"]  # label 0, label 1


def read_rows(path, tokenizer):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    encoded = tokenizer([PROMPT.format(row["sentence"]) for row in rows], add_special_tokens=False)
    return [(ids, row["label"]) for ids, row in zip(encoded["input_ids"], rows)]


class Classifier:
    """The model with all its parameters laid out in one flat vector, scored on the two options."""

    def __init__(self, model_path, tokenizer):
        self.model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
        self.options = torch.tensor(
            [tokenizer(option, add_special_tokens=False)["input_ids"] for option in OPTIONS]
        ).squeeze(1)  # fails unless every option is one token
        parameters = list(self.model.parameters())
        self.flat = torch.cat([p.data.flatten() for p in parameters])
        offset = 0
        for p in parameters:
            p.data = self.flat[offset : offset + p.numel()].view_as(p)
            offset += p.numel()

    @torch.no_grad()
    def logits(self, rows):
        """The two options' logits after each prompt; right padding is harmless under causal attention."""
        longest = max(len(ids) for ids, _ in rows)
        tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
        last = torch.tensor([len(ids) - 1 for ids, _ in rows])
        hidden = self.model.model(tokens).last_hidden_state[torch.arange(len(rows)), last]
        return hidden @ self.model.lm_head.weight[self.options].T

    def loss(self, rows):
        return cross_entropy(self.logits(rows), labels_of(rows)).item()

    def margins(self, rows):
        """logp(great) - logp(terrible) per row."""
        parts = [self.logits(rows[i : i + 200]) for i in range(0, len(rows), 200)]
        return torch.cat([part[:, 1] - part[:, 0] for part in parts])


def labels_of(rows):
    return torch.tensor([label for _, label in rows])


def accuracy(margins, rows, threshold=0.0):
    return ((margins > threshold).long() == labels_of(rows)).float().mean().item()


def best_threshold(margins, rows):
    """The threshold with the highest accuracy on these rows."""
    candidates = [-math.inf, *margins.tolist()]
    return max(candidates, key=lambda candidate: accuracy(margins, rows, candidate))


def learning_rate(args, peak, step):
    """Linear warmup, then constant or linear or cosine decay to 0."""
    warm = min(1.0, (step + 1) / args.warmup) if args.warmup else 1.0
    done = step / args.steps
    decay = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return peak * warm * decay[args.schedule]


def fine_tune(classifier, train, args, peak, seed):
    theta, noise = classifier.flat, torch.Generator().manual_seed(seed)
    rng, order = random.Random(seed), []
    for step in range(args.steps):
        if len(order) < args.batch_size:
            order = rng.sample(range(len(train)), len(train))
        batch = [train[order.pop()] for _ in range(args.batch_size)]
        z = torch.randn(theta.shape, generator=noise)
        theta.add_(z, alpha=args.eps)
        loss_plus = classifier.loss(batch)
        theta.add_(z, alpha=-2 * args.eps)
        loss_minus = classifier.loss(batch)
        projected = (loss_plus - loss_minus) / (2 * args.eps)
        theta.add_(z, alpha=args.eps - learning_rate(args, peak, step) * projected)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--eval-on", default="test", choices=["dev", "test"])
    parser.add_argument("--lr", type=float, nargs="+", default=[1.5e-4])
    parser.add_argument("--eps", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--schedule", default="linear", choices=["constant", "linear", "cosine"])
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    train = read_rows(args.data / "train.jsonl", tokenizer)
    held_out = read_rows(args.data / f"{args.eval_on}.jsonl", tokenizer)
    classifier = Classifier(args.model, tokenizer)
    start = classifier.flat.clone()

    margins = classifier.margins(held_out)
    threshold = best_threshold(classifier.margins(train), train)
    print(f"parameters {start.numel()}, tokens per prompt {sum(len(ids) for ids, _ in train) / len(train):.1f}")
    print(f"zero-shot on {args.eval_on}: raw {accuracy(margins, held_out):.3f}, "
          f"calibrated {accuracy(margins, held_out, threshold):.3f}")
    for peak in args.lr:
        for seed in args.seeds:
            classifier.flat.copy_(start)
            began = time.time()
            fine_tune(classifier, train, args, peak, seed)
            print(f"lr {peak:g} seed {seed}: {args.eval_on} {accuracy(classifier.margins(held_out), held_out):.3f}, "
                  f"train {accuracy(classifier.margins(train), train):.3f}, {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
