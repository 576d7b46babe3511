// SST-2 with MeZO's prompt (arXiv 2305.17333, table of prompts): fields sentence and label (0, 1).
import { invalid } from "../config/problems.js";
import { options } from "./options.js";
import { type OptionsTask, RowError, type TaskSettings } from "./task.js";

export function sst2(settings: TaskSettings): OptionsTask {
  if (settings.template !== undefined || settings.options !== undefined) {
    throw invalid('task "sst2" has its own template and options; use task "options" for others');
  }
  const base = options({
    ...settings,
    template: "{sentence} It was",
    options: [" terrible", " great"],
  });
  return {
    kind: "options",
    example(row) {
      // GLUE's sentences end in a space, which MeZO strips.
      const { sentence } = row;
      if (sentence !== undefined && typeof sentence !== "string") {
        throw new RowError('field "sentence" is not text');
      }
      return base.example({ ...row, ...(sentence !== undefined && { sentence: sentence.trim() }) });
    },
  };
}
