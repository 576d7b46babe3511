// Errors in the terms of the configuration that was given: plans, evaluations and generations call some
// fields otherwise than runs, which is how what they share with runs names them.
import { Zo2Error } from "../errors.js";
import { taskSchema } from "./schema.js";

/** A run's names of fields, and what they are called instead. */
export type Terms = Readonly<Record<string, string>>;

export const planTerms: Terms = {
  "schedule.memory": "memory",
  "schedule.hostMemory": "hostMemory",
  "schedule.roundEvery": "roundEvery",
  "method.directions": "directions",
  "method.rank": "rank",
  batchSize: "batch",
  maxLength: "length",
};

const taskFields = Object.keys((taskSchema as unknown as { shape: object }).shape);
export const evaluateTerms: Terms = Object.fromEntries(
  taskFields.map((name) => [`data.${name}`, name]),
);

export const generateTerms: Terms = { "data.chatTemplate": "chatTemplate" };

/** What was thrown, with the fields that its message names renamed. */
export function inTerms(terms: Terms, thrown: unknown): unknown {
  if (!(thrown instanceof Zo2Error)) return thrown;
  const message = thrown.message.replace(
    /(?<![\w./-])\w+(?:\.\w+)?(?![\w/-]|\.\w)/g,
    (name: string) => (Object.hasOwn(terms, name) ? (terms[name] ?? name) : name),
  );
  return message === thrown.message
    ? thrown
    : new Zo2Error(thrown.code, message, { cause: thrown });
}
