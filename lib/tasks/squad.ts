// SQuAD 1.1 (squad): a question about a paragraph, answered in its words.
import { defineTask } from "./define.js";
import { textsOf } from "./fields.js";
import { mezoAnswer } from "./mezo.js";
import type { Task } from "./task.js";

export function squad(): Task {
  return defineTask({
    name: "squad",
    kind: "generation",
    fields: { title: "text", context: "text", question: "text", answers: "any" },
    example({ title, context, question, answers }) {
      const texts = textsOf((answers as { text?: unknown } | undefined)?.text, "answers.text");
      const asked = `Question: ${question.trim()}\nAnswer:`;
      return mezoAnswer(`Title: ${title}\nContext: ${context}\n${asked}`, texts);
    },
  });
}
