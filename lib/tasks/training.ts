// What a task's rows are in training, where that is another thing than in evaluation.
import { type GenerationExample, type OptionsExample, rightOptions, type Task } from "./task.js";

/** The right option as what is to be predicted. */
function answerOf(example: OptionsExample): GenerationExample {
  const { context, prompt, options } = example;
  return { context, prompt, completion: options[rightOptions(example)[0] ?? 0] ?? "", answers: [] };
}

/**
 * A task as it is trained: options as themselves, or as the tokens of the right one.
 * @param asClassification instead of what the task itself says
 */
export function trainingTask(
  task: Task,
  asClassification: boolean = task.trainAsClassification,
): Task {
  if (task.kind !== "options" || asClassification) return task;
  return {
    ...task,
    kind: "generation",
    example: (row) => answerOf(task.example(row) as OptionsExample),
  };
}
