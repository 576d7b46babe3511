// ReCoRD (super_glue/record): which entity fills the placeholder of a query about a news text?
import { show } from "../config/problems.js";
import { defineTask } from "./define.js";
import { textsOf } from "./fields.js";
import { mezoOption, mezoPrompt } from "./mezo.js";
import { RowError, type Task } from "./task.js";

export function record(): Task {
  return defineTask({
    name: "record",
    kind: "options",
    fields: { passage: "text", query: "text", entities: "list", answers: "list" },
    // As MeZO has it: the query with the first right entity is predicted.
    trainAsClassification: false,
    example({ passage, query, ...row }) {
      const entities = textsOf(row.entities, "entities");
      const label = textsOf(row.answers, "answers").map((answer) => {
        const index = entities.indexOf(answer);
        if (index >= 0) return index;
        throw new RowError(`field "answers" holds ${show(answer)}, which is none of its entities`);
      });
      // The highlights of a text become items of a list, and so does the query.
      return {
        prompt: mezoPrompt(`${passage.replaceAll("@highlight\n", "- ")}\n-`),
        options: entities.map((entity) =>
          mezoOption(query.replaceAll("@placeholder", () => entity)),
        ),
        label,
        domainPrompt: "-",
        candidates: entities,
      };
    },
  });
}
