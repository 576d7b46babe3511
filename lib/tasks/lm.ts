// Language modelling: {"text": "..."}, or {"input_ids": [...]} taken as they are.
import { invalid } from "../config/problems.js";
import { type LmTask, RowError, type TaskSettings } from "./task.js";

export function lm(settings: TaskSettings): LmTask {
  for (const name of ["template", "options", "labels"] as const) {
    if (settings[name] !== undefined) {
      throw invalid(`data.${name} is given, but task "lm" has none; use task "options"`);
    }
  }
  return {
    kind: "lm",
    example({ text, input_ids: inputIds }) {
      if (inputIds !== undefined) {
        if (Array.isArray(inputIds)) return { inputIds };
        throw new RowError('field "input_ids" is not a list');
      }
      if (typeof text === "string") return { text };
      throw new RowError(
        text === undefined ? 'neither "text" nor "input_ids" is there' : 'field "text" is not text',
      );
    },
  };
}
