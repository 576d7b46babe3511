// Winograd schemas (super_glue/wsc.fixed): does the pronoun span2_text refer to span1_text? Labels: 0 no, 1 yes.
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const wsc: TaskMaker = mezoChoice({
  name: "wsc",
  template:
    '{text}\nIn the previous sentence, does the pronoun "{span2_text}" refer to {span1_text}? ' +
    "Yes or No?\n",
  options: ["No", "Yes"],
  shown: { span2_text: (text) => text.toLowerCase() },
});
