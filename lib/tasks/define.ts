// defineTask(): how every task is made, those of this package and a user's own.
import { invalid, show } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { messageOf } from "../errors.js";
import { type Fields, isFieldType, type RowOf, rowOf } from "./fields.js";
import {
  type Example,
  type LmExample,
  type OptionsExample,
  RowError,
  type Task,
  type TaskKind,
} from "./task.js";

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
  example(row: RowOf<F>): K extends "lm" ? LmExample : OptionsExample;
}

function isText(value: unknown): boolean {
  return typeof value === "string" || Array.isArray(value);
}
function isMessage(value: unknown): boolean {
  return typeof (value as { role?: unknown } | null)?.role === "string";
}

/** What is wrong with an example; undefined for nothing. */
function problemOf(kind: TaskKind, value: unknown): string | undefined {
  const given = (value ?? {}) as Record<string, unknown>;
  const { text, prompt, completion, messages, options, label } = given;
  if (kind === "options") {
    if (!isText(prompt)) return `a prompt that is ${show(prompt)}`;
    if (!Array.isArray(options) || options.length < 2 || !options.every(isText)) {
      return `options that are ${show(options)}, not a list of at least two texts`;
    }
    const isIndex = Number.isInteger(label) && Number(label) >= 0 && Number(label) < options.length;
    return isIndex ? undefined : `a label that is ${show(label)}, not an index of its options`;
  }
  if (messages !== undefined) {
    const good = Array.isArray(messages) && messages.length > 0 && messages.every(isMessage);
    return good ? undefined : "messages that are not a list of objects with a role";
  }
  if (isText(text) || (isText(prompt) && isText(completion))) return undefined;
  return `${show(value)}, which has no text, prompt and completion, or messages`;
}

function check(definition: TaskDefinition): void {
  const { name, version, kind, fields } = definition;
  if (typeof name !== "string" || name === "") throw invalid(`a task's name is ${show(name)}`);
  const where = `task ${show(name)}`;
  if (typeof version !== "string" && typeof version !== "number") {
    throw invalid(`${where}: version is ${show(version)}; it must be a text or a number`);
  }
  if (kind !== "lm" && kind !== "options") {
    throw invalid(`${where}: kind is ${show(kind)}; it must be one of "lm", "options"`);
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
 * const boolq = defineTask({
 *   name: "boolq",
 *   kind: "options",
 *   fields: { passage: "text", question: "text", answer: "boolean" },
 *   example: ({ passage, question, answer }) => ({
 *     prompt: `${passage} ${question}?`,
 *     options: [" No", " Yes"],
 *     label: answer ? 1 : 0,
 *   }),
 * });
 * ```
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function defineTask<const F extends Fields, K extends TaskKind>(
  definition: TaskDefinition<F, K>,
): Task {
  const { name, version = 1, kind, fields } = definition;
  check({ ...definition, version } as unknown as TaskDefinition);
  const example = (row: JsonRow): Example => {
    const own = rowOf(row, fields);
    let made: Example;
    try {
      made = definition.example(own);
    } catch (error) {
      if (error instanceof RowError) throw error;
      throw new RowError(`task ${show(name)}: ${messageOf(error)}`, { cause: error });
    }
    const problem = problemOf(kind, made);
    if (problem) throw new RowError(`task ${show(name)} made ${problem}`);
    return made;
  };
  const reference = { name, version: String(version) };
  return Object.freeze({ ...reference, kind, fields, example, toJSON: () => reference });
}
