"""Log-probabilities of label tokens in fp64, one sequence at a time."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """[heads, n, columns] each; causal. Keys and values may begin with some that all queries see."""
    n, all_keys = q.shape[1], k.shape[1]
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2])
    scores = np.where(np.tri(n, all_keys, all_keys - n, dtype=bool), scores, -np.inf)
    return softmax(scores) @ v


def virtual_tokens(w):
    return len(w.get("prefix.layers.0.keys", ()))


def behind_prefix(w, layer, k, v):
    """Keys and values [heads, n, columns] with those of virtual tokens before them."""
    if not virtual_tokens(w):
        return k, v
    first = (heads_first(w[f"prefix.layers.{layer}.{part}"], len(k)) for part in ("keys", "values"))
    return (np.concatenate(pair, axis=1) for pair in zip(first, (k, v)))


def heads_first(x, heads):
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def heads_last(x):
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def linear(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def layer_norm(w, name, x):
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred / scale * w[name + ".weight"] + w[name + ".bias"]


def rms_norm(w, name, x, epsilon):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * w[name + ".weight"]


def opt(config, w, tokens):
    d = "model.decoder."
    x = w[d + "embed_tokens.weight"][tokens]
    if d + "project_in.weight" in w:
        x = linear(w, d + "project_in", x)
    x = x + w[d + "embed_positions.weight"][np.arange(len(tokens)) + virtual_tokens(w) + 2]
    heads, before = config["num_attention_heads"], config["do_layer_norm_before"]
    for i in range(config["num_hidden_layers"]):
        name = f"{d}layers.{i}."
        norm = name + "self_attn_layer_norm"
        h = layer_norm(w, norm, x) if before else x
        q, k, v = (heads_first(linear(w, f"{name}self_attn.{p}_proj", h), heads) for p in "qkv")
        k, v = behind_prefix(w, i, k, v)
        x = x + linear(w, name + "self_attn.out_proj", heads_last(attention(q, k, v)))
        x = x if before else layer_norm(w, norm, x)
        norm = name + "final_layer_norm"
        h = layer_norm(w, norm, x) if before else x
        x = x + linear(w, name + "fc2", np.maximum(linear(w, name + "fc1", h), 0))
        x = x if before else layer_norm(w, norm, x)
    if d + "final_layer_norm.weight" in w:
        x = layer_norm(w, d + "final_layer_norm", x)
    if d + "project_out.weight" in w:
        x = linear(w, d + "project_out", x)
    return x @ w.get("lm_head.weight", w[d + "embed_tokens.weight"]).T


def rotate(x, theta, first):
    """Rotary positions from `first` on, halves paired. Frequencies and angles in fp32: so is the
    model defined."""
    n, columns = x.shape[1], x.shape[2]
    exponents = np.arange(0, columns, 2) / columns
    frequencies = (1 / theta**exponents).astype(np.float32)
    angles = np.arange(first, first + n, dtype=np.float32)[:, None] * frequencies
    cosine, sine = np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))
    a, b = x[..., :columns // 2], x[..., columns // 2:]
    return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)


def llama(config, w, tokens):
    """And Mistral and Qwen, which add norms of heads and biases."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise ValueError("only plain rotary positions are needed here")
    theta = rope.get("rope_theta", config.get("rope_theta"))
    epsilon = config["rms_norm_eps"]
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(config["num_hidden_layers"]):
        name = f"model.layers.{i}."
        h = rms_norm(w, name + "input_layernorm", x, epsilon)
        q = heads_first(linear(w, name + "self_attn.q_proj", h), heads)
        k = heads_first(linear(w, name + "self_attn.k_proj", h), kv_heads)
        if name + "self_attn.q_norm.weight" in w:
            q = rms_norm(w, name + "self_attn.q_norm", q, epsilon)
            k = rms_norm(w, name + "self_attn.k_norm", k, epsilon)
        q, k = (rotate(y, theta, virtual_tokens(w)) for y in (q, k))
        v = heads_first(linear(w, name + "self_attn.v_proj", h), kv_heads)
        k, v = behind_prefix(w, i, k, v)
        k, v = (np.repeat(y, heads // kv_heads, axis=0) for y in (k, v))
        x = x + linear(w, name + "self_attn.o_proj", heads_last(attention(q, k, v)))
        h = rms_norm(w, name + "post_attention_layernorm", x, epsilon)
        gate = linear(w, name + "mlp.gate_proj", h)
        inner = gate / (1 + np.exp(-gate)) * linear(w, name + "mlp.up_proj", h)
        x = x + linear(w, name + "mlp.down_proj", inner)
    x = rms_norm(w, "model.norm", x, epsilon)
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gpt2(config, w, tokens):
    t = "transformer."
    first = virtual_tokens(w)
    x = w[t + "wte.weight"][tokens] + w[t + "wpe.weight"][first:first + len(tokens)]
    for i in range(config["n_layer"]):
        name = f"{t}h.{i}."
        h = layer_norm(w, name + "ln_1", x)
        q, k, v = (heads_first(linear(w, f"{name}attn.c_attn.{p}", h), config["n_head"])
                   for p in "qkv")
        k, v = behind_prefix(w, i, k, v)
        x = x + linear(w, name + "attn.c_proj", heads_last(attention(q, k, v)))
        h = linear(w, name + "mlp.c_fc", layer_norm(w, name + "ln_2", x))
        x = x + linear(w, name + "mlp.c_proj", gelu_new(h))
    return layer_norm(w, t + "ln_f", x) @ w.get("lm_head.weight", w[t + "wte.weight"]).T


FAMILIES = {"opt": opt, "gpt2": gpt2,
            **{name: llama for name in ("llama", "mistral", "qwen2", "qwen3")}}


def label_logprobs(config, w, tokens, label_start):
    """Of tokens[label_start:], each given all before it."""
    logits = FAMILIES[config["model_type"]](config, w, np.asarray(tokens[:-1]))
    logits = logits[label_start - 1:]
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return logits[np.arange(len(logits)), tokens[label_start:]] - log_sum


class Rows:
    """Rows as lib/native.ts hands them over (NativeRows, as JSON)."""

    def __init__(self, raw):
        self.kind, self.gold = raw["kind"], raw["gold"]
        ends, starts = raw["sequenceOffsets"], raw["labelStart"]
        self.sequences = [(raw["tokens"][a:b], s) for a, b, s in zip(ends, ends[1:], starts)]
        self.row_offsets = raw["rowOffsets"]

    def loss(self, config, w, rows):
        """Rule 9: mean over label tokens, or over rows for options. Also the mean size of the
        log-probabilities it is made of: for options they are larger than the loss they leave."""
        terms, sizes = [], []
        for row in rows:
            options = self.sequences[self.row_offsets[row]:self.row_offsets[row + 1]]
            scores = [label_logprobs(config, w, tokens, start) for tokens, start in options]
            if self.kind == "lm":
                terms.extend(-scores[0])
                continue
            means = np.array([s.mean() for s in scores])
            terms.append(-np.log(softmax(means)[self.gold[row]]))
            sizes.append(np.abs(means).mean())
        return np.mean(terms), np.mean(sizes or terms)
