// RTE (super_glue/rte): does the premise entail the hypothesis? Labels: 0 entailment, 1 not.
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const rte: TaskMaker = mezoChoice({
  name: "rte",
  template: '{premise}\nDoes this mean that "{hypothesis}" is true? Yes or No?\n',
  options: ["Yes", "No"],
});
