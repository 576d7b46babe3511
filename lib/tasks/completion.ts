// Prompt and completion as texts, as TRL has them: the completion is predicted, and its end.
import { defineTask } from "./define.js";
import type { Task, TaskSettings } from "./task.js";

export function completion(settings: TaskSettings): Task {
  const { promptField, completionField, completionOnlyLoss } = settings;
  return defineTask({
    name: "completion",
    kind: "lm",
    fields: { [promptField]: "text", [completionField]: "text" },
    example: (row) => ({
      prompt: row[promptField] as string,
      completion: row[completionField] as string,
      predictPrompt: !completionOnlyLoss,
    }),
  });
}
