// MultiRC (super_glue/multirc): is one answer to a question about a paragraph right? Labels: 0 no, 1 yes.
// As MeZO has it, each answer is a row of its own, and accuracy is over rows.
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const multirc: TaskMaker = mezoChoice({
  name: "multirc",
  template:
    '{paragraph}\nQuestion: {question}\nI found this answer "{answer}". ' +
    "Is that correct? Yes or No?\n",
  options: ["No", "Yes"],
});
