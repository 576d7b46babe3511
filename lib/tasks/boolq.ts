// BoolQ: a yes-or-no question about a passage; rows of boolq (answer) or super_glue/boolq (label).
import { defineTask } from "./define.js";
import { mezoPrompt } from "./mezo.js";
import { RowError, type Task, type TaskSettings } from "./task.js";

/** The data's questions are in lower case, most of them without a question mark. */
function asQuestion(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith("?") ? "" : "?");
}

export function boolq({ labelField }: TaskSettings): Task {
  return defineTask({
    name: "boolq",
    kind: "options",
    fields: { passage: "text", question: "text", [labelField]: "boolean?", answer: "boolean?" },
    example(row) {
      const isYes = row[labelField] ?? row.answer;
      if (isYes === undefined) {
        throw new RowError(`neither "${labelField}" nor "answer" is there`);
      }
      return {
        prompt: mezoPrompt(`${row.passage} ${asQuestion(String(row.question))}\n`),
        options: ["Yes", "No"],
        label: isYes ? 0 : 1,
        domainPrompt: "",
      };
    },
  });
}
