// generate() and its text, against an engine that says what it is told to say.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { GenerateConfig } from "zo2";
import { resolveGenerateConfig } from "../../dist/config/resolve.js";
import { generateStreamWith, generateWith } from "../../dist/generate.js";
import { Detokenizer, StopText } from "../../dist/generation/text.js";
import { TrainingRun } from "../../dist/training-run.js";
import { type FakeSettings, fakeRuntime } from "../support/fake-engine.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

const end = 260;
const bytes = (text: string): number[] => [...Buffer.from(text)];

function prepare(t: Test, settings: FakeSettings, template = "") {
  const dir = t.testdir({ "m.gguf": "" });
  const config = { eos_token_id: end };
  const runtime = fakeRuntime({ info: { format: "gguf", config }, ...settings });
  Object.assign(runtime.metadata, byteLevelMetadata({ "tokenizer.chat_template": template }));
  const model = join(dir, "m.gguf");
  const run = (rest: Partial<GenerateConfig>, options = {}) =>
    generateWith(runtime, { model, prompts: "x", ...rest }, options);
  return { dir, model, runtime, run };
}

t.test("texts, ends and what the engine is asked", async (t) => {
  const generated = [bytes("hello"), [...bytes("yes"), end], bytes("a much longer one")];
  const { run, runtime } = prepare(t, { generated });
  const prompts = ["so", "x", "y"];
  const results = await run({
    prompts,
    maxNewTokens: 5,
    temperature: 0.5,
    topK: 3,
    topP: 0.25,
    seed: 9,
  });
  t.strictSame(results, [
    { text: "hello", tokens: bytes("hello"), finishReason: "length", promptTokens: 2 },
    { text: "yes", tokens: [...bytes("yes"), end], finishReason: "eos", promptTokens: 1 },
    { text: "a muc", tokens: bytes("a muc"), finishReason: "length", promptTokens: 1 },
  ]);
  const engine = runtime.engines[0];
  t.match(engine?.generated, {
    tokens: Int32Array.from(bytes("soxy")),
    offsets: Uint32Array.of(0, 2, 3, 4),
    maxNewTokens: 5,
    batchSize: 8,
    temperature: 0.5,
    topK: 3,
    topP: 0.25,
    seed: 9,
    eosIds: Int32Array.of(end),
    stopIds: new Int32Array(0),
  });
  t.equal(engine?.closed, true);
});

t.test("characters come whole", async (t) => {
  const text = "née 日本 🙂!";
  const { run } = prepare(t, { generated: [bytes(text)] });
  const pieces: string[] = [];
  const [result] = await run({}, { onText: (piece: string) => pieces.push(piece) });
  t.strictSame(pieces, Array.from(text));
  t.equal(result?.text, text);
  const broken = [...bytes("a"), 0xe6, 0x97];
  const half = await prepare(t, { generated: [broken] }).run({});
  t.equal(half[0]?.text, "a\uFFFD", "what stays half a character is shown at the end");
});

t.test("stop strings across tokens", async (t) => {
  const said = [...bytes("one"), 256, ...bytes("ye ST"), ...bytes("OP and more")];
  const { run, runtime } = prepare(t, { generated: [said, bytes("STOP"), bytes("xyz")] });
  const pieces = ["", "", ""];
  const tokens = [0, 0, 0];
  const results = await run(
    { prompts: ["a", "b", "c"], stop: ["STOP", "never"] },
    {
      onText: (piece: string, index: number) => (pieces[index] += piece),
      onToken: ({ index }: { index: number }) => (tokens[index] = (tokens[index] ?? 0) + 1),
    },
  );
  t.strictSame(pieces, ["one bye ", "", "xyz"], "nothing of a stop string is ever told");
  t.match(results, [
    { text: "one bye ", finishReason: "stop" },
    { text: "", finishReason: "stop", tokens: bytes("STOP") },
    { text: "xyz", finishReason: "length" },
  ]);
  t.strictSame(
    tokens,
    results.map((result) => result.tokens.length),
  );
  t.ok(runtime.engines[0]?.endedSequences.has(0), "the engine is told");
  t.notOk(runtime.engines[0]?.endedSequences.has(2));
});

t.test("stop text holds back beginnings only", (t) => {
  const stop = new StopText(["abc", "bd"]);
  t.equal(stop.add("xa"), "x");
  t.equal(stop.add("a"), "a");
  t.equal(stop.add("b"), "", "ab may become abc, b may become bd");
  t.equal(stop.add("b"), "ab");
  t.equal(stop.add("dabc"), "");
  t.match(stop, { stopped: true, text: "xaab" });
  const other = new StopText(["\n\n"]);
  t.equal(other.add("a\n"), "a");
  t.equal(other.end(), "\n");
  t.end();
});

t.test("a first token keeps its space", async (t) => {
  // As SentencePiece decodes: the first space of a text goes.
  const words = ["", "\u2581a", "\u2581b", "c"];
  const decode = async (lists: readonly number[][]): Promise<string[]> =>
    lists.map((ids) =>
      ids
        .map((id) => words[id])
        .join("")
        .replaceAll("\u2581", " ")
        .replace(/^ /, ""),
    );
  const text = new Detokenizer([1], decode);
  t.equal(await text.add(2), " b");
  t.equal(await text.add(0), "", "a special token");
  t.equal(await text.add(1), " a");
  t.equal(await text.add(3), "c");
});

t.test("conversations", async (t) => {
  const template =
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}" +
    "{% if add_generation_prompt %}[assistant]{% endif %}";
  const { run, runtime } = prepare(t, { generated: [[65]] }, template);
  const asked = () => Buffer.from(runtime.engines.at(-1)?.generated?.tokens ?? []).toString();
  await run({ prompts: [{ role: "user", content: "hi" }] });
  t.equal(asked(), "[user]hi[assistant]");
  await run({ prompts: "hi", chat: true });
  t.equal(asked(), "[user]hi[assistant]");
  await run({ prompts: ["hi", [{ role: "system", content: "s" }]] });
  t.equal(asked(), "hi[system]s[assistant]");
});

t.test("a run's chat template is needed by conversations alone", async (t) => {
  const { dir, model, runtime } = prepare(t, { generated: [[65]] });
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const messages = [{ role: "user", content: "hi" }];
  const chatTemplate = file("own.jinja", "{{ messages[0].content }}{{ eos_token }}");
  const train = file("rows.jsonl", JSON.stringify({ messages }));
  const data = { train, task: "chat", chatTemplate, completionOnlyLoss: false };
  const output = join(dir, "run");
  const trained = new TrainingRun({ model, data, steps: 1, output }, {}, runtime);
  await trained.result;
  await trained.close();
  const asked = async (config: GenerateConfig): Promise<string> => {
    await generateWith(runtime, { run: output, maxNewTokens: 1, ...config }, {});
    return Buffer.from(runtime.engines.at(-1)?.generated?.tokens ?? []).toString();
  };
  t.match(await asked({ prompts: messages }), /^hi/, "the run's");
  rmSync(chatTemplate);
  t.equal(await asked({ prompts: "so" }), "so");
  const code = "ZO2_INVALID_CONFIG";
  await t.rejects(asked({ prompts: ["so", messages] }), {
    code,
    message:
      /^chatTemplate: cannot read .*own\.jinja: no such file.*\/run was started with it; give chatTemplate/,
  });
  await t.rejects(asked({ prompts: "so", chat: true }), { code, message: /started with it/ });
  const moved = file("moved.jinja", "[{{ messages[0].content }}]");
  t.equal(await asked({ prompts: messages, chatTemplate: moved }), "[hi]");
  const none = asked({ prompts: "so", chatTemplate: join(dir, "none.jinja") });
  await t.rejects(none, { code, message: /none\.jinja: no such file or directory$/ });
});

t.test("files of prompts", async (t) => {
  const { run, runtime, dir } = prepare(t, {}, "{{ messages[0].content }}");
  mkdirSync(dir, { recursive: true });
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const prompts = undefined;
  await run({ prompts, promptsFile: file("p.txt", "ab\n\ncd\n") });
  t.strictSame(runtime.engines.at(-1)?.generated?.offsets, Uint32Array.of(0, 2, 4));
  const rows = '{"prompt":"abc"}\n{"messages":[{"role":"user","content":"z"}]}\n';
  await run({ prompts, promptsFile: file("p.jsonl", rows) });
  t.strictSame(runtime.engines.at(-1)?.generated?.offsets, Uint32Array.of(0, 3, 4));
  await t.rejects(run({ prompts, promptsFile: file("q.jsonl", '{"text":"abc"}\n') }), {
    code: "ZO2_INVALID_DATA",
    message: /q\.jsonl, line 1: needs "prompt" \(a text\) or "messages"/,
  });
  await t.rejects(run({ prompts, promptsFile: file("none.txt", "\n") }), {
    message: /holds no prompts/,
  });
  await t.rejects(run({ prompts: ["a", ""] }), {
    message: "prompts[1] has no tokens; give some text",
  });
});

t.test("a stream of tokens", async (t) => {
  const { runtime, model } = prepare(t, { generated: [bytes("hello"), bytes("you")] });
  let text = "";
  for await (const token of generateStreamWith(runtime, { model, prompts: ["a", "b"] }, {})) {
    text += `${token.index}${token.text}`;
  }
  t.equal(text, "0h1y0e1o0l1u0l0o");
  const slow = prepare(t, { generated: [Array.from({ length: 5000 }, () => 65)], stepMs: 1 });
  let seen = 0;
  const config = { model: slow.model, prompts: "a", maxNewTokens: 5000 };
  for await (const _ of generateStreamWith(slow.runtime, config, {})) if (++seen === 3) break;
  t.equal(slow.runtime.engines[0]?.closed, true, "leaving the loop ends it");
  const reason = new Error("enough");
  const failing = generateStreamWith(slow.runtime, config, { signal: AbortSignal.abort(reason) });
  await t.rejects(failing.next(), reason);
});

t.test("signals and callbacks that throw", async (t) => {
  const generated = [Array.from({ length: 5000 }, () => 65)];
  const { run, runtime } = prepare(t, { generated, stepMs: 1 });
  const controller = new AbortController();
  const reason = new Error("enough");
  const options = { signal: controller.signal, onToken: () => controller.abort(reason) };
  await t.rejects(run({ maxNewTokens: 5000 }, options), reason);
  const failure = new TypeError("from a callback");
  const throwing = {
    onText: () => {
      throw failure;
    },
  };
  await t.rejects(run({ maxNewTokens: 5000 }, throwing), failure);
  const rejecting = {
    onEnd: async () => {
      throw failure;
    },
  };
  await t.rejects(run({ maxNewTokens: 2 }, rejecting), failure);
  t.ok(runtime.engines.every(({ closed }) => closed));
});

t.test("configurations that cannot be used", (t) => {
  const model = "m";
  const wrong: [unknown, RegExp][] = [
    [{ prompts: "a" }, /give model/],
    [{ model }, /give either prompts/],
    [{ model, prompts: "a", promptsFile: "p.txt" }, /give either prompts/],
    [{ model, prompts: [] }, /prompts is \[\]; it must be a text, a list of messages/],
    [{ model, prompts: [3] }, /prompts is \[3\]/],
    [{ model, promptsFile: "p.doc" }, /promptsFile is "p\.doc"/],
    [{ model, prompts: "a", temperature: -1 }, /temperature is -1; it must be a number from 0/],
    [{ model, prompts: "a", temperature: 1, topP: 0 }, /topP is 0; it must be a number above 0/],
    [{ model, prompts: "a", topK: 5 }, /topK is 5, but temperature 0/],
    [{ model, prompts: "a", maxNewTokens: 0 }, /maxNewTokens is 0; it must be an integer from 1/],
    [{ model, prompts: "a", stop: [""] }, /stop is \[""\]|stop\.0 is ""/],
    [{ model, prompts: "a", maxTokens: 3 }, /maxTokens is not known; did you mean maxNewTokens/],
  ];
  for (const [config, message] of wrong) {
    const resolve = () => resolveGenerateConfig(config as GenerateConfig);
    t.throws(resolve, { code: "ZO2_INVALID_CONFIG", message });
  }
  t.end();
});
