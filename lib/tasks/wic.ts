// Words in context (super_glue/wic): has the word one meaning in both sentences? Labels: 0 no, 1 yes.
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const wic: TaskMaker = mezoChoice({
  name: "wic",
  template:
    'Does the word "{word}" have the same meaning in these two sentences? Yes, No?\n' +
    "{sentence1}\n{sentence2}\n",
  options: ["No", "Yes"],
});
