// defineTask(): how every task is made, those of this package and a user's own.
import { invalid, show } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { messageOf } from "../errors.js";
import { type Fields, isFieldType, type RowOf, rowOf } from "./fields.js";
import {
  type AnswerSettings,
  type Example,
  type GenerationExample,
  type LmExample,
  type OptionsExample,
  RowError,
  type Task,
  type TaskKind,
} from "./task.js";

/** As MeZO has it (arXiv 2305.17333). */
const defaultAnswer: AnswerSettings = { maxNewTokens: 50, stop: "\n" };

interface Examples {
  lm: LmExample;
  options: OptionsExample;
  generation: GenerationExample;
}

/** What {@link defineTask} takes. */
export interface TaskDefinition<F extends Fields = Fields, K extends TaskKind = TaskKind> {
  /** Kept with a run, which goes on only with the same name and version. */
  name: string;
  /** To be changed whenever `example` makes something else of a row (default 1). */
  version?: string | number | undefined;
  kind: K;
  /** The fields that `example` needs; a row without them is reported and left out. */
  fields: F;
  /** What a row is for the model. A row for which it throws is reported and left out. */
  example(row: RowOf<F>): Examples[K];
  /**
   * Of "options": train by cross-entropy over the options (default), or, false, predict the tokens of
   * the right one. A configuration's data.trainAsClassification goes before it.
   */
  trainAsClassification?: boolean | undefined;
  /** Of "generation": how answers are generated (default: 50 tokens at most, up to a newline). */
  answer?: Partial<AnswerSettings> | undefined;
}

type Given = Record<string, unknown>;

function isText(value: unknown): boolean {
  return typeof value === "string" || Array.isArray(value);
}
function isMessage(value: unknown): boolean {
  return typeof (value as { role?: unknown } | null)?.role === "string";
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function problemOfOptions({ prompt, options, label, ...rest }: Given): string | undefined {
  if (!isText(prompt)) return `a prompt that is ${show(prompt)}`;
  if (!Array.isArray(options) || options.length < 2 || !options.every(isText)) {
    return `options that are ${show(options)}, not a list of at least two texts`;
  }
  const isIndex = (value: unknown): boolean =>
    Number.isInteger(value) && Number(value) >= 0 && Number(value) < options.length;
  const isLabel = Array.isArray(label) ? label.length > 0 && label.every(isIndex) : isIndex(label);
  if (!isLabel) return `a label that is ${show(label)}, not an index of its options`;
  const { domainPrompt, candidates } = rest;
  if (domainPrompt !== undefined && !isText(domainPrompt)) {
    return `a domainPrompt that is ${show(domainPrompt)}`;
  }
  if (candidates === undefined) return undefined;
  const isPaired = isTexts(candidates) && candidates.length === options.length;
  return isPaired ? undefined : `candidates that are ${show(candidates)}, not a text per option`;
}

function problemOfGeneration({ prompt, completion, answers }: Given): string | undefined {
  if (!isText(prompt)) return `a prompt that is ${show(prompt)}`;
  if (!isText(completion)) return `a completion that is ${show(completion)}`;
  if (isTexts(answers) && answers.length > 0) return undefined;
  return `answers that are ${show(answers)}, not a list of at least one text`;
}

function problemOfText(given: Given, value: unknown): string | undefined {
  const { text, prompt, completion, messages } = given;
  if (messages !== undefined) {
    const good = Array.isArray(messages) && messages.length > 0 && messages.every(isMessage);
    return good ? undefined : "messages that are not a list of objects with a role";
  }
  if (isText(text) || (isText(prompt) && isText(completion))) return undefined;
  return `${show(value)}, which has no text, prompt and completion, or messages`;
}

/** What is wrong with an example of a kind; undefined for nothing. */
const problems: Record<TaskKind, (given: Given, value: unknown) => string | undefined> = {
  lm: problemOfText,
  options: problemOfOptions,
  generation: problemOfGeneration,
};

function checkAnswer(where: string, { maxNewTokens, stop }: AnswerSettings): void {
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw invalid(`${where}: answer.maxNewTokens is ${show(maxNewTokens)}; it must be at least 1`);
  }
  if (typeof stop === "string" && stop !== "") return;
  throw invalid(`${where}: answer.stop is ${show(stop)}; it must be a text`);
}

function check(definition: TaskDefinition): void {
  const { name, version, kind, fields } = definition;
  if (typeof name !== "string" || name === "") throw invalid(`a task's name is ${show(name)}`);
  const where = `task ${show(name)}`;
  if (typeof version !== "string" && typeof version !== "number") {
    throw invalid(`${where}: version is ${show(version)}; it must be a text or a number`);
  }
  if (!Object.hasOwn(problems, kind)) {
    const kinds = Object.keys(problems).map(show).join(", ");
    throw invalid(`${where}: kind is ${show(kind)}; it must be one of ${kinds}`);
  }
  if (typeof fields !== "object" || fields === null) throw invalid(`${where} has no fields`);
  for (const [field, type] of Object.entries(fields)) {
    if (isFieldType(type)) continue;
    throw invalid(
      `${where}: field ${show(field)} is of type ${show(type)}; it must be one of "text", ` +
        '"number", "integer", "boolean", "list", "any", or one of these with a "?" after it',
    );
  }
  if (typeof definition.example !== "function")
    throw invalid(`${where}: example must be a function`);
}

/**
 * A task of your own, for `data.task`.
 *
 * ```ts
 * const claims = defineTask({
 *   name: "claims",
 *   kind: "options",
 *   fields: { passage: "text", claim: "text", holds: "boolean" },
 *   example: ({ passage, claim, holds }) => ({
 *     prompt: `${passage} ${claim}. True?`,
 *     options: [" No", " Yes"],
 *     label: holds ? 1 : 0,
 *   }),
 * });
 * ```
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function defineTask<const F extends Fields, K extends TaskKind>(
  definition: TaskDefinition<F, K>,
): Task {
  const { name, version = 1, kind, fields, trainAsClassification = true } = definition;
  const answer = { ...defaultAnswer, ...definition.answer };
  check({ ...definition, version } as unknown as TaskDefinition);
  checkAnswer(`task ${show(name)}`, answer);
  const example = (row: JsonRow): Example => {
    const own = rowOf(row, fields);
    let made: Example;
    try {
      made = definition.example(own);
    } catch (error) {
      if (error instanceof RowError) throw error;
      throw new RowError(`task ${show(name)}: ${messageOf(error)}`, { cause: error });
    }
    const problem = problems[kind]((made ?? {}) as unknown as Given, made);
    if (problem) throw new RowError(`task ${show(name)} made ${problem}`);
    return made;
  };
  const reference = { name, version: String(version) };
  const settings = { kind, fields, trainAsClassification, answer };
  return Object.freeze({ ...reference, ...settings, example, toJSON: () => reference });
}
