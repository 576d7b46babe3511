// Conversations as token ids and labels, against transformers' apply_chat_template: the templates of
// test/fixtures/chat, and SmolLM2's own from its GGUF file where scripts/fetch-real.mjs put it.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { encodeExamples } from "../../dist/data/encode.js";
import { planChat, renderChat } from "../../dist/data/encode-chat.js";
import { native } from "../../dist/native.js";
import type { ChatExample } from "../../dist/tasks/task.js";
import { tokenizerFromGguf } from "../../dist/tokenizer/gguf.js";
import { loadTokenizer, type Tokenizer } from "../../dist/tokenizer/tokenizer.js";
import { byteLevelMetadata, sentencePieceMetadata } from "../support/tiny-vocabulary.js";
import { findPython } from "./runs.js";

interface Request {
  model: string;
  template: string | null;
  conversations: (ChatExample | { pair: [prompt: string, completion: string] })[];
  prompt?: boolean;
}
interface Answer {
  text: string;
  ids: number[];
  mask: number[] | null;
}

const turns = [
  { role: "user", content: "Hi, bad 1234 \u{1F600}é\u{1F468}‍\u{1F469}!" },
  { role: "assistant", content: "  a bad  ad\n\n日本 \u{1F600} " },
  { role: "user", content: "<|im_end|> and </s> <s> as text, {{ x }} {% if %}" },
  { role: "assistant", content: "ok" },
];
const system = { role: "system", content: " Be brief.\n" };
const asked = [{ role: "user", content: "one" }];
const conversations: Record<string, ChatExample[]> = {
  plain: [{ messages: turns }, { messages: turns.slice(0, 2) }, { messages: asked }],
  system: [{ messages: [system, ...turns] }],
  null: [{ messages: [system, { role: "user", content: "x", name: null }] }],
  tools: [
    {
      messages: [system, ...turns],
      tools: [
        { type: "function", function: { name: "f", parameters: { é: [1, 2.5, true, null] } } },
      ],
    },
  ],
  calls: [
    {
      messages: [
        ...asked,
        {
          role: "assistant",
          content: null,
          tool_calls: [{ type: "function", function: { name: "f", arguments: { a: "<b>" } } }],
        },
        { role: "tool", content: "4" },
      ],
    },
  ],
};
const all = (...names: string[]): ChatExample[] =>
  names.flatMap((name) => conversations[name] ?? []);

const pairs: [prompt: string, completion: string][] = [
  ["What is bad?", " This is bad 1234."],
  ["Q: \u{1F600}é\nA:", " 日本\n"],
  ["x", ""],
];
const completions = pairs.map((pair) => ({ pair }));

const source = (name: string): string =>
  readFileSync(join("test", "fixtures", "chat", `${name}.jinja`), "utf8");

/** A directory that both sides load: a tiny vocabulary with the special tokens of a template. */
function directory(place: string, kind: "bytes" | "pieces", template: string): string {
  const chatMl = ["<|im_start|>", "<|im_end|>", "[INST]", "[/INST]"];
  const specials = [...chatMl, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
  const base = kind === "bytes" ? byteLevelMetadata() : sentencePieceMetadata();
  const tokens = [...(base["tokenizer.ggml.tokens"] as string[]), ...specials];
  const known = (key: string, value: number): number[] => {
    const list = (base[`tokenizer.ggml.${key}`] as number[] | undefined) ?? [];
    return [...list, ...tokens.slice(list.length).map(() => value)];
  };
  const { tokenizer, config } = tokenizerFromGguf(
    {
      ...base,
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.token_type": known("token_type", 3),
      "tokenizer.ggml.scores": known("scores", -1000),
      "tokenizer.ggml.add_bos_token": true,
    },
    "tiny.gguf",
  );
  const path = join(place, `${template}-${kind}`);
  mkdirSync(path);
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify(config));
  writeFileSync(join(path, "chat_template.jinja"), source(template));
  return path;
}

async function answers(place: string, python: string, requests: Request[]): Promise<Answer[][]> {
  const file = join(place, "requests.json");
  writeFileSync(file, JSON.stringify(requests));
  const env = { ...process.env, HF_HUB_OFFLINE: "1", TOKENIZERS_PARALLELISM: "false" };
  const script = join("test", "oracle", "chat.py");
  const { stdout } = await promisify(execFile)(python, [script, file], { env, maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Answer[][];
}

async function compare(t: Test, tokenizer: Tokenizer, request: Request, expected: Answer[]) {
  const limits = { maxLength: 1 << 20, vocabSize: 1 << 20 };
  for (const [index, conversation] of request.conversations.entries()) {
    if ("pair" in conversation) continue;
    const { text, ids, mask } = expected[index] ?? { text: "", ids: [], mask: null };
    const template = tokenizer.chatTemplate(request.template ?? undefined);
    const { messages, tools, variables } = conversation;
    const addGenerationPrompt = request.prompt;
    const whole = template.render({ messages, tools, variables, addGenerationPrompt });
    t.equal(whole.text, text, "text");
    t.same(await tokenizer.encode([whole.text]), [ids], "token ids");
    const said = messages.some(({ role }) => role === "assistant");
    if (request.prompt || !said) continue;
    const example = { ...conversation, ...(request.template && { template: request.template }) };
    const plan = planChat(example, tokenizer, limits);
    const { sequences } = await plan.finish(await tokenizer.encodings(plan.texts));
    const [sequence = { ids: [], labelStart: 0, labels: [] }] = sequences;
    t.same(sequence.ids, ids.slice(0, sequence.ids.length), "ids of the row");
    if (mask === null) continue;
    const own = sequence.ids.map(
      (_, i) => i >= sequence.labelStart && (sequence.labels?.[i] ?? true),
    );
    t.same(own.map(Number), mask.slice(0, own.length), "labels are transformers' assistant tokens");
    t.notOk(mask.slice(own.length).includes(1), "nothing after the last label is one");
  }
}

/** Prompts and completions, against what TRL makes of them. */
async function compareCompletions(t: Test, tokenizer: Tokenizer, answers: Answer[]) {
  const limits = { maxLength: 1 << 20, vocabSize: 1 << 20 };
  const examples = pairs.map(([prompt, completion]) => ({ prompt, completion }));
  const rows = await encodeExamples(examples, async () => tokenizer, limits);
  for (const [index, { ids, mask, text }] of answers.entries()) {
    const row = rows[index];
    const [sequence] = row && "sequences" in row ? row.sequences : [];
    t.same(sequence?.ids, ids, text);
    t.equal(sequence?.labelStart, mask?.indexOf(1));
    t.equal(sequence?.labels, undefined);
  }
}

const found = await findPython(["transformers"]);
const skip = "missing" in found ? `SKIPPED: ${found.missing}` : false;
const python = "python" in found ? found.python : "";
t.setTimeout(300_000);

t.test("templates of families", { skip }, async (t) => {
  const cases: [string, "bytes" | "pieces", ChatExample[]][] = [
    ["llama3", "bytes", all("plain", "system", "tools", "null")],
    ["qwen", "bytes", all("plain", "system", "calls", "null")],
    ["mistral", "pieces", all("plain")],
    ["mistral", "bytes", all("plain")],
    ["generation", "bytes", all("plain", "system")],
    ["generation", "pieces", all("plain", "system")],
    ["thinking", "bytes", all("plain", "system")],
  ];
  const place = t.testdir();
  const requests = cases.flatMap(([name, kind, list]): Request[] => {
    const model = resolve(directory(place, kind, name));
    const request = { model, template: null, conversations: list };
    return [request, { ...request, prompt: true }, { ...request, conversations: completions }];
  });
  const expected = await answers(place, python, requests);
  for (const [index, request] of requests.entries()) {
    await t.test(`${request.model.split("/").at(-1)} ${request.prompt ?? false}`, async (t) => {
      const tokenizer = await loadTokenizer(request.model, () => ({}));
      const answers = expected[index] ?? [];
      if (request.conversations === completions) await compareCompletions(t, tokenizer, answers);
      else await compare(t, tokenizer, request, answers);
    });
  }
});

const smol = resolve(".cache", "real", "SmolLM2-135M-Instruct.Q4_1.gguf");
const noSmol = existsSync(smol) ? skip : "SKIPPED: no SmolLM2 here, run scripts/fetch-real.mjs";
t.test("SmolLM2 from GGUF", { skip: noSmol }, async (t) => {
  const request = { model: smol, template: null, conversations: all("plain", "system") };
  const marked = { ...request, template: source("generation") };
  const requests: Request[] = [
    request,
    { ...request, prompt: true },
    marked,
    { ...request, conversations: completions },
  ];
  const expected = await answers(t.testdir(), python, requests);
  const tokenizer = await loadTokenizer(smol, (path) => native.ggufMetadata(path));
  for (const [index, each] of requests.entries()) {
    await compare(t, tokenizer, each, expected[index] ?? []);
  }
  await compareCompletions(t, tokenizer, expected[3] ?? []);
  // What the assistant says by prefixes is what a marked template marks, and the line end after it.
  const example = { messages: turns };
  const { text, predicted } = renderChat(example, tokenizer.chatTemplate());
  t.same(
    predicted.map(([start, end]) => text.slice(start, end)),
    [`${turns[1]?.content}<|im_end|>\n`, "ok<|im_end|>\n"],
  );
});
