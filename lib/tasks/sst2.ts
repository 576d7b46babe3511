// SST-2 with MeZO's prompt (arXiv 2305.17333, table of prompts): fields sentence and label (0, 1).
import { defineTask } from "./define.js";
import { options } from "./options.js";
import type { OptionsExample, Task, TaskSettings } from "./task.js";

export function sst2(settings: TaskSettings): Task {
  const texts = { template: "{sentence} It was", options: [" terrible", " great"] };
  const base = options({ ...settings, ...texts });
  return defineTask({
    name: "sst2",
    kind: "options",
    fields: { sentence: "text", [settings.labelField]: "any" },
    // GLUE's sentences end in a space, which MeZO strips.
    example: (row) =>
      base.example({ ...row, sentence: String(row.sentence).trim() }) as OptionsExample,
  });
}
