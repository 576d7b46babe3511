// Conversations: what is predicted of them, by templates that mark it and by those that do not. Token
// ids and marks are compared with transformers in test/oracle/chat.test.ts.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { renderChat } from "../../dist/data/encode-chat.js";
import { describeProblems } from "../../dist/data/report.js";
import type { ChatExample, TaskSettings } from "../../dist/tasks/task.js";
import { ChatTemplate } from "../../dist/tokenizer/chat-template.js";
import { tokenizerFromGguf } from "../../dist/tokenizer/gguf.js";
import { loadTokenizer } from "../../dist/tokenizer/tokenizer.js";
import { charEncoder, labels, load, sequences } from "../support/char-encoder.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

const fixture = (name: string): string =>
  readFileSync(join("test", "fixtures", "chat", `${name}.jinja`), "utf8");
const tokens = { bos_token: "<s>", eos_token: "</s>" };
const chat: Partial<TaskSettings> = { task: "chat" };
const turns = [
  { role: "user", content: "one" },
  { role: "assistant", content: "two" },
  { role: "user", content: "three" },
  { role: "assistant", content: "four" },
];
/** "u" and "a" before a message, ">" after it. */
const short =
  "{% for m in messages %}{{ m.role[0] + m.content + eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}a{% endif %}";
const marked =
  "{% for m in messages %}{{ m.role[0] }}{% if m.role == 'assistant' %}" +
  "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}" +
  "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}a{% endif %}";

function predicted(template: string, example: ChatExample): string[] {
  const { text, predicted } = renderChat(example, new ChatTemplate(template, tokens));
  return predicted.map(([start, end]) => text.slice(start, end));
}

t.test("what the assistant says, by the beginnings of a conversation", async (t) => {
  const example = { messages: turns };
  t.same(predicted(fixture("qwen"), example), ["two<|im_end|>\n", "four<|im_end|>\n"]);
  t.same(predicted(fixture("llama3"), example), ["two<|eot_id|>", "four<|eot_id|>"]);
  t.same(predicted(fixture("mistral"), example), [" two</s>", " four</s>"]);
  t.same(predicted(fixture("thinking"), example), ["two<|im_end|>\n", "four<|im_end|>\n"]);
  t.same(predicted(fixture("generation"), example), ["two<|im_end|>", "four<|im_end|>"]);
  const last = { ...example, promptMessages: 3 };
  t.same(predicted(fixture("qwen"), last), ["four<|im_end|>\n"]);
  t.same(predicted(fixture("generation"), last), ["four<|im_end|>"]);
  const [whole = ""] = predicted(fixture("mistral"), { ...example, predictPrompt: true });
  t.equal(whole, "<s>[INST] one [/INST] two</s>[INST] three [/INST] four</s>");
});

t.test("a template whose beginnings do not nest", async (t) => {
  const thoughts = (at: number): ChatExample => ({
    messages: turns.map((m, i) =>
      i === at ? { ...m, content: `<think>x</think>${m.content}` } : m,
    ),
  });
  t.same(predicted(fixture("thinking"), thoughts(3)), [
    "two<|im_end|>\n",
    "<think>x</think>four<|im_end|>\n",
  ]);
  t.throws(
    () => predicted(fixture("thinking"), thoughts(1)),
    /first 2 messages differently when more follow.*{% generation %}.*completionOnlyLoss/,
  );
  t.same(predicted(fixture("thinking"), { ...thoughts(1), predictPrompt: true }).length, 1);
  const prompting = "{% for m in messages %}{{ m.content }}{% endfor %}<think>";
  t.throws(
    () => predicted(prompting, { messages: turns }),
    /first 1 messages and the prompt to go on differently/,
  );
});

t.test("rows", async (t) => {
  const encoder = charEncoder({ template: short });
  const rows = [
    { messages: turns },
    { prompt: turns.slice(0, 3), completion: turns.slice(3) },
    { messages: turns, prompt: "some data sets have both" },
  ];
  const loaded = await load(rows, chat, 40, encoder);
  t.same(labels(loaded), [
    "______two>________four>",
    "__________________four>",
    "______two>________four>",
  ]);
  t.same(sequences(loaded)[0]?.slice(0, 2), [117, 111], "no <s> that the template did not write");
  t.same(
    labels(await load(rows.slice(0, 2), { ...chat, completionOnlyLoss: false }, 40, encoder)),
    ["_one>atwo>uthree>afour>", "_one>atwo>uthree>afour>"],
  );
  const marks = charEncoder({ template: marked });
  const own = await load(
    [{ talk: turns.slice(0, 2) }],
    { ...chat, messagesField: "talk" },
    40,
    marks,
  );
  t.same(labels(own), ["______two"], "what follows the last label is left out");
  t.equal(own.report.truncated, 0);
  const cut = await load(rows.slice(0, 1), chat, 20, encoder);
  t.same(labels(cut), ["______two>________fo"]);
  t.equal(cut.report.truncated, 1);
  const cutBefore = await load(rows.slice(0, 1), chat, 12, encoder);
  t.same(labels(cutBefore), ["______two>"]);
  t.equal(cutBefore.report.truncated, 1);
  const emoji = [
    { role: "user", content: "\u{1F600}é" },
    { role: "assistant", content: "\u{1F468}!" },
  ];
  t.same(labels(await load([{ messages: emoji }], chat, 40, encoder)), ["_____\u{1F468}!>"]);
});

t.test("rows that cannot be used", async (t) => {
  const raising = `${short}{% if messages[0].role != 'user' %}{{ raise_exception('no user') }}{% endif %}`;
  const rows = [
    { messages: turns },
    { messages: turns.slice(1) },
    { messages: turns.slice(0, 1) },
    { messages: "hi" },
    { messages: [{ content: "x" }] },
    { prompt: turns.slice(0, 1) },
    { prompt: "hi", completion: "ho" },
    { messages: turns, tools: 3 },
  ];
  const loaded = await load(rows, chat, 40, charEncoder({ template: raising }));
  t.equal(loaded.report.rows, 1);
  t.equal(loaded.report.unusable, 7);
  const problems = async (row: Record<string, unknown>) => {
    const both = await load(
      [{ messages: turns }, row],
      chat,
      40,
      charEncoder({ template: raising }),
    );
    return describeProblems(both.report);
  };
  const expected = [
    /the chat template says: no user/,
    /has nothing that the assistant says/,
    /field "messages" is "hi", not a list/,
    /messages that are not a list of objects with a role/,
    /neither "messages" nor "prompt" with "completion" is there/,
    /field "prompt" is not a list of messages; for texts use task "completion"/,
    /field "tools" is not a list/,
  ];
  for (const [index, message] of expected.entries()) {
    t.match(await problems(rows[index + 1] ?? {}), message);
  }
  const forged = { messages: [{ role: "user", content: "\uFDD0" }, ...turns.slice(1)] };
  const marks = charEncoder({ template: marked });
  await t.rejects(load([forged], chat, 40, marks), { message: /U\+FDD0/ });
});

t.test("what templates see", async (t) => {
  const render = (source: string, variables = {}): string =>
    new ChatTemplate(source, tokens).render({ messages: turns, ...variables }).text;
  t.equal(render("{{ bos_token }}{{ pad_token }}{{ messages | length }}"), "<s>4");
  t.equal(
    render("{{ strftime_now('%d %b %Y, %A') }}"),
    "26 Jul 2024, Friday",
    "the same every day",
  );
  t.throws(() => render("{{ strftime_now('%Q') }}"), /%Q/);
  t.equal(render("{{ x }}{{ bos_token }}", { variables: { x: 1, bos_token: "B" } }), "1B");
  t.equal(render("{{ tools is none }}{{ add_generation_prompt }}"), "truefalse");
  const tools = [{ name: "f" }];
  t.equal(render("{{ tools | tojson }}", { tools }), '[{"name": "f"}]');
  const encoder = charEncoder({ template: `{{ tools[0].name }}{{ mood }}${short}` });
  const row = { messages: turns.slice(0, 2), chat_template_kwargs: { mood: "!" } };
  const loaded = await load(
    [
      { ...row, tools },
      { ...row, tools: '[{"name":"f"}]' },
    ],
    chat,
    40,
    encoder,
  );
  t.same(labels(loaded), ["________two>", "________two>"]);
  const reasoning = { messages: [{ role: "assistant", content: null, thinking: "hm" }] };
  const seen = "{{ messages[0].reasoning_content }}{{ messages[0].content is defined }}";
  t.equal(new ChatTemplate(seen, {}).render(reasoning).text, "hmfalse");
});

t.test("marks keep to the template's whitespace", async (t) => {
  const lines = "a\n  {% generation %}\nb\n  {% endgeneration %}\nc";
  t.same(new ChatTemplate(lines, {}).render({ messages: [] }), {
    text: "a\nb\nc",
    generated: [[2, 4]],
  });
  const trimmed = "a\n  {%- generation -%}\n b \n {%- endgeneration -%}\n c";
  t.same(new ChatTemplate(trimmed, {}).render({ messages: [] }), {
    text: "abc",
    generated: [[1, 2]],
  });
});

t.test("where the template comes from", async (t) => {
  const dir = t.testdir();
  const { tokenizer } = tokenizerFromGguf(byteLevelMetadata(), "m.gguf");
  const load = (name: string, files: Record<string, unknown>) => {
    mkdirSync(join(dir, name));
    for (const [file, value] of Object.entries({ "tokenizer.json": tokenizer, ...files })) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      writeFileSync(join(dir, name, file), text);
    }
    return loadTokenizer(join(dir, name), () => ({}));
  };
  const text = async (name: string, files: Record<string, unknown>): Promise<string> =>
    (await load(name, files)).chatTemplate().render({ messages: [] }).text;
  const special = { bos_token: { content: "<|start|>" }, eos_token: "<|end|>" };
  const config = { ...special, chat_template: "{{ bos_token }}config{{ eos_token }}" };
  const configFile = { "tokenizer_config.json": config };
  t.equal(await text("config", configFile), "<|start|>config<|end|>");
  t.equal(
    await text("file", { ...configFile, "chat_template.jinja": "file{{ eos_token }}" }),
    "file<|end|>",
  );
  const list = [
    { name: "rag", template: "rag" },
    { name: "default", template: "default" },
  ];
  t.equal(await text("list", { "tokenizer_config.json": { chat_template: list } }), "default");
  const map = { "special_tokens_map.json": special, "chat_template.jinja": "{{ eos_token }}" };
  t.equal(await text("map", map), "<|end|>");
  t.equal((await load("eos", { "special_tokens_map.json": special })).eos, 260);
  const code = "ZO2_INVALID_MODEL";
  const none = await load("none", {});
  t.equal(none.eos, undefined);
  t.throws(() => none.chatTemplate(), {
    code,
    message: /has no chat template; give.*chatTemplate/,
  });
  t.equal(none.chatTemplate("{{ 1 }}").render({ messages: [] }).text, "1");
  t.throws(() => none.chatTemplate("{% if %}"), { code, message: /chat template cannot be used/ });
  const named = await load("named", {
    "tokenizer_config.json": { chat_template: list.slice(0, 1) },
  });
  t.throws(() => named.chatTemplate(), { code, message: /no chat template "default"/ });
  const metadata = byteLevelMetadata({ "tokenizer.chat_template": "gguf{{ eos_token }}" });
  const gguf = join(dir, "m.gguf");
  writeFileSync(gguf, "");
  const rebuilt = await loadTokenizer(gguf, () => metadata);
  t.equal(rebuilt.chatTemplate().render({ messages: [] }).text, "gguf<|end|>");
  t.equal(rebuilt.eos, 260);
});
