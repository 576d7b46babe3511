// Language modelling: {"text": "..."}, or {"input_ids": [...]} taken as they are.
import { defineTask } from "./define.js";
import { RowError, type Task } from "./task.js";

export function lm(): Task {
  return defineTask({
    name: "lm",
    kind: "lm",
    fields: { text: "any?", input_ids: "list?" },
    example({ text, input_ids: ids }) {
      // Whether they are ids is looked at where the vocabulary is known.
      if (ids !== undefined) return { text: ids as number[] };
      if (typeof text === "string") return { text };
      throw new RowError(
        text === undefined ? 'neither "text" nor "input_ids" is there' : 'field "text" is not text',
      );
    },
  });
}
