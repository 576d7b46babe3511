// COPA (super_glue/copa): which of two choices is the cause or the effect of the premise?
import { show } from "../config/problems.js";
import { defineTask } from "./define.js";
import { mezoOption, mezoPrompt } from "./mezo.js";
import { RowError, type Task, type TaskSettings } from "./task.js";

const conjunctions: Readonly<Record<string, string>> = { effect: "so", cause: "because" };

/** A choice goes on with the premise's sentence: its first word is written small, unless it is "I". */
function asClause(choice: string): string {
  const [first = "", ...others] = choice.split(" ");
  return mezoOption([first === "I" ? first : first.toLowerCase(), ...others].join(" "));
}

export function copa({ labelField }: TaskSettings): Task {
  return defineTask({
    name: "copa",
    kind: "options",
    fields: {
      premise: "text",
      choice1: "text",
      choice2: "text",
      question: "text",
      [labelField]: "integer",
    },
    // As MeZO has it: the right choice is predicted.
    trainAsClassification: false,
    example(row) {
      const conjunction = conjunctions[row.question];
      const label = row[labelField] as number;
      if (conjunction === undefined) {
        throw new RowError(`field "question" is ${show(row.question)}, not "cause" or "effect"`);
      }
      if (label !== 0 && label !== 1) {
        throw new RowError(`field "${labelField}" is ${show(label)}, not an index from 0 to 1`);
      }
      const premise = row.premise.trimEnd().replace(/\.$/, "");
      return {
        prompt: mezoPrompt(`${premise} ${conjunction}`),
        options: [asClause(row.choice1), asClause(row.choice2)],
        label,
        domainPrompt: conjunction,
      };
    },
  });
}
