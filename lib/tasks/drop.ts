// DROP (drop): a question about a passage that takes counting, sorting or adding up.
import { defineTask } from "./define.js";
import { textsOf } from "./fields.js";
import { mezoAnswer } from "./mezo.js";
import type { Task } from "./task.js";

export function drop(): Task {
  return defineTask({
    name: "drop",
    kind: "generation",
    fields: { passage: "text", question: "text", answers_spans: "any" },
    example({ passage, question, answers_spans: answers }) {
      const spans = (answers as { spans?: unknown } | undefined)?.spans;
      const prompt = `Passage: ${passage}\nQuestion: ${question.trim()}\nAnswer:`;
      return mezoAnswer(prompt, textsOf(spans, "answers_spans.spans"));
    },
  });
}
