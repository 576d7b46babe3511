// What a task is: from a row of data to text. Encoding, packing and reports are the same for all.
import type { JsonRow } from "../config/types.js";

/** A row as text to be predicted whole, or as token ids taken as they are. */
export type LmExample = { text: string } | { inputIds: readonly unknown[] };
/** A row as a prompt and texts to choose from. */
export interface OptionsExample {
  prompt: string;
  /** Appended to the prompt as they are. */
  options: readonly string[];
  /** Index of the right one. */
  gold: number;
}

/** Thrown for a row that cannot be used; the message says why, file and line are added later. */
export class RowError extends Error {}

/** Language modelling: every token is a label. */
export interface LmTask {
  kind: "lm";
  /** @throws RowError */
  example(row: JsonRow): LmExample;
}
/** Classification by the mean log-probability of each option's tokens. */
export interface OptionsTask {
  kind: "options";
  /** @throws RowError */
  example(row: JsonRow): OptionsExample;
}
export type Task = LmTask | OptionsTask;

/** The part of a configuration that a task is made from. */
export interface TaskSettings {
  task: string;
  template?: string | undefined;
  options?: readonly string[] | undefined;
  labelField: string;
  labels?: readonly (string | number)[] | undefined;
}
