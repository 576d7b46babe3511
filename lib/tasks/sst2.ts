// SST-2 (glue/sst2): is a review good? MeZO's prompt (arXiv 2305.17333, table of prompts).
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const sst2: TaskMaker = mezoChoice({
  name: "sst2",
  template: "{sentence} It was",
  options: [" terrible", " great"],
  domainPrompt: "It was",
  // GLUE's sentences end in a space.
  shown: { sentence: (text) => text.trim() },
});
