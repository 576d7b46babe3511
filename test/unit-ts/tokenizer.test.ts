// Tokenizers rebuilt from GGUF metadata and from files, on vocabularies small enough to see
// through. Equality with transformers on real vocabularies is tested with the real files, elsewhere.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { tokenizerFromGguf } from "../../dist/tokenizer/gguf.js";
import { mergesFromScores } from "../../dist/tokenizer/sentencepiece.js";
import { loadTokenizer, Tokenizer } from "../../dist/tokenizer/tokenizer.js";
import { byteLevelMetadata, sentencePieceMetadata } from "../support/tiny-vocabulary.js";

function rebuild(metadata: Record<string, unknown>): Promise<Tokenizer> {
  const { tokenizer } = tokenizerFromGguf(metadata, "m.gguf");
  return Tokenizer.fromJson(JSON.stringify(tokenizer), "m.gguf");
}

t.test("byte-level BPE", async (t) => {
  const tokenizer = await rebuild(byteLevelMetadata());
  t.same(await tokenizer.encode(["a bad ad", "\u00e9", "<|start|>x", ""]), [
    [97, 258, 32, 257],
    [0xc3, 0xa9],
    [259, 120],
    [],
  ]);
  t.same([tokenizer.prefix, tokenizer.suffix], [[], []]);
  t.notOk(tokenizer.prefixesSpace);
  const framed = await rebuild(
    byteLevelMetadata({
      "tokenizer.ggml.add_bos_token": true,
      "tokenizer.ggml.add_eos_token": true,
    }),
  );
  t.same([framed.prefix, framed.suffix], [[259], [260]]);
});

t.test("pre-tokenizers cut digits as their models do", async (t) => {
  const base = byteLevelMetadata();
  const tokens = [...(base["tokenizer.ggml.tokens"] as string[]), "12", "123", "1234"];
  const metadata = {
    ...base,
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.merges": ["1 2", "12 3", "123 4"],
  };
  const ids = async (pre: string): Promise<number[] | undefined> => {
    const tokenizer = await rebuild({ ...metadata, "tokenizer.ggml.pre": pre });
    return (await tokenizer.encode(["1234"]))[0];
  };
  t.same(await ids("gpt-2"), [263]);
  t.same(await ids("llama-bpe"), [262, 52]);
  t.same(await ids("qwen2"), [49, 50, 51, 52]);
});

t.test("SentencePiece", async (t) => {
  const tokenizer = await rebuild(sentencePieceMetadata());
  t.same(tokenizer.prefix, [1], "<s> comes first unless the file says otherwise");
  t.ok(tokenizer.prefixesSpace);
  t.same(await tokenizer.encode(["a", "abc", "bc", "\u00e9", "<s>a"]), [
    [259],
    [260, 265],
    [262, 261],
    [262, 3 + 0xc3, 3 + 0xa9],
    [1, 263],
  ]);
  const bare = await rebuild(
    sentencePieceMetadata({
      "tokenizer.ggml.add_space_prefix": false,
      "tokenizer.ggml.add_bos_token": false,
    }),
  );
  t.same(bare.prefix, []);
  t.same(await bare.encode(["a"]), [[263]]);
});

t.test(
  "merges from scores: best first, then longer parts, then the vocabulary's order",
  async (t) => {
    t.same(mergesFromScores(["a", "b", "c", "ab", "bc", "abc"], [0, 0, 0, -2, -1, -3]), [
      ["b", "c"],
      ["a", "b"],
      ["ab", "c"],
      ["a", "bc"],
    ]);
  },
);

t.test("damaged metadata", async (t) => {
  const code = "ZO2_INVALID_MODEL";
  const base = byteLevelMetadata();
  const rejects = (change: Record<string, unknown>, message: RegExp, expected = code): void => {
    const metadata = { ...base, ...change };
    t.throws(() => tokenizerFromGguf(metadata, "m.gguf"), { code: expected, message });
  };
  rejects({ "tokenizer.ggml.tokens": undefined }, /m.gguf: tokenizer.ggml.tokens/);
  rejects({ "tokenizer.ggml.tokens": [1] }, /not text/);
  rejects({ "tokenizer.ggml.merges": undefined }, /merges is missing/);
  rejects({ "tokenizer.ggml.merges": ["a b c"] }, /not two tokens/);
  rejects({ "tokenizer.ggml.bos_token_id": 9999 }, /9999, outside the vocabulary/);
  rejects({ "tokenizer.ggml.model": "t5" }, /"t5"/, "ZO2_UNSUPPORTED_MODEL");
  await t.rejects(rebuild({ ...base, "tokenizer.ggml.merges": ["q\u0120 z\u0120"] }), { code });
});

t.test("directories", async (t) => {
  const dir = t.testdir();
  const { tokenizer } = tokenizerFromGguf(byteLevelMetadata(), "m.gguf");
  const load = (name: string, files: Record<string, unknown>): Promise<Tokenizer> => {
    const path = join(dir, name);
    mkdirSync(path);
    for (const [file, value] of Object.entries(files)) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      writeFileSync(join(path, file), text);
    }
    return loadTokenizer(path, () => ({}));
  };
  const plain = await load("plain", { "tokenizer.json": tokenizer });
  t.same(plain.prefix, []);
  const bos = { add_bos_token: true, bos_token: { content: "<|start|>" } };
  const framed = await load("bos", { "tokenizer.json": tokenizer, "tokenizer_config.json": bos });
  t.same(framed.prefix, [259], "tokenizer_config.json has the last word, as in transformers");
  const { vocab, merges } = tokenizer.model;
  const opt = await load("opt", {
    "vocab.json": vocab,
    "merges.txt": `#version: 0.2\n${merges.map((pair) => pair.join(" ")).join("\n")}\n`,
    "tokenizer_config.json": bos,
  });
  t.same(opt.prefix, [259]);
  t.same(await opt.encode([" bad<|start|>"]), [[258, 259]]);
  const code = "ZO2_INVALID_MODEL";
  await t.rejects(load("none", {}), { code, message: /has no tokenizer/ });
  await t.rejects(load("broken", { "tokenizer.json": "{" }), { code, message: /is not JSON/ });
  await t.rejects(
    loadTokenizer(join(dir, "absent"), () => ({})),
    { code: "ZO2_IO" },
  );
});
