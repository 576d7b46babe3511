// Objectives that a configuration names: measures of the task itself, maximised.
import { invalid } from "./config/problems.js";
import type { ResolvedTrainConfig } from "./config/types.js";
import { highest } from "./evaluation/choices.js";
import type { Objective } from "./objective.js";
import { answerF1, exactMatch } from "./tasks/answers.js";
import {
  type Example,
  type GenerationExample,
  type OptionsExample,
  rightOptions,
  type Task,
  type TaskKind,
} from "./tasks/task.js";

type Name = Exclude<ResolvedTrainConfig["objective"], "loss">;
type Measure = (answer: string, right: readonly string[]) => number;

/** The kind of tasks that each is a measure of. */
const kinds: Record<Name, TaskKind> = {
  accuracy: "options",
  f1: "generation",
  exactMatch: "generation",
};

function accuracy(examples: readonly Example[]): Objective {
  const isRight = (index: number, logprobs: readonly number[]): boolean => {
    return rightOptions(examples[index] as OptionsExample).includes(highest(logprobs));
  };
  return {
    needs: "logprobs",
    maximize: true,
    score: (rows) => rows.map(({ index, logprobs }) => Number(isRight(index, logprobs))),
  };
}

function ofTexts(measure: Measure, examples: readonly Example[]): Objective {
  return {
    needs: "text",
    maximize: true,
    score: (rows) =>
      rows.map(({ index, text }) =>
        measure(text.trim(), (examples[index] as GenerationExample).answers),
      ),
  };
}

/** @throws Zo2Error ZO2_INVALID_CONFIG for a task of another kind, or a second objective */
export function checkNamedObjective(
  { objective: name, data }: Pick<ResolvedTrainConfig, "objective" | "data">,
  { kind }: Task,
  given: Objective | undefined,
): void {
  if (name === "loss") return;
  if (given)
    throw invalid(`objective is "${name}", and a function is given as well; leave one out`);
  if (kinds[name] !== kind) {
    throw invalid(
      `objective is "${name}", which is a measure of ${kinds[name]} tasks; this is ${kind}`,
    );
  }
  if (name === "accuracy" && data.trainAsClassification === false) {
    throw invalid(
      `objective is "accuracy", which compares options, but data.trainAsClassification is false; leave one out`,
    );
  }
}

/** @param examples of the rows that are trained on */
export function namedObjective(name: Name, examples: readonly Example[]): Objective {
  if (name === "accuracy") return accuracy(examples);
  return ofTexts(name === "f1" ? answerF1 : exactMatch, examples);
}
