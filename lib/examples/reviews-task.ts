// A task of one's own, for the rows of data/reviews:
//
//   npx zo2 train --task dist/examples/reviews-task.js --data data/reviews/train.jsonl ...
import { defineTask, type Task } from "../index.js";

const task: Task = defineTask({
  name: "reviews",
  // To be changed with `example`: a run goes on only with the task that it began with.
  version: 1,
  // "options" scores texts against each other; "lm" predicts a text, a completion or a conversation.
  kind: "options",
  fields: { sentence: "text", label: "integer" },
  example({ sentence, label }) {
    // What is thrown here leaves the row out, and is reported with its file and line.
    if (sentence.trim() === "") throw new Error("an empty review");
    return {
      prompt: `Review: ${sentence.trim()}\nVerdict:`,
      options: [" bad", " good"],
      label,
    };
  },
});
export default task;
