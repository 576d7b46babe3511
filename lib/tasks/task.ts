// What a task is: from a row of data to text or token ids. Encoding, packing and reports are the
// same for all.
import type { JsonRow } from "../config/types.js";
import type { Fields } from "./fields.js";

/** A text, which gets the tokens that transformers puts around it, or token ids taken as they are. */
export type Text = string | readonly number[];

/** Text to be predicted whole. */
export interface TextExample {
  text: Text;
}
/**
 * A prompt, and what is to be predicted after it. A completion given as text gets the model's end of
 * text after it.
 */
export interface CompletionExample {
  prompt: Text;
  completion: Text;
  /** The prompt is predicted as well (default false). */
  predictPrompt?: boolean | undefined;
}
/** A message as chat templates know it; more keys (tool_calls, name ...) are passed on. */
export interface ChatMessage {
  role: string;
  content?: unknown;
  [key: string]: unknown;
}
/** A conversation, rendered by the model's chat template; what the assistant says is predicted. */
export interface ChatExample {
  messages: readonly ChatMessage[];
  /** Only what follows so many first messages is predicted (default 0). */
  promptMessages?: number | undefined;
  /** Everything is predicted, not only what the assistant says (default false). */
  predictPrompt?: boolean | undefined;
  /** JSON schemas of functions, for templates that show them. */
  tools?: readonly unknown[] | undefined;
  /** Further variables of the template. */
  variables?: Readonly<Record<string, unknown>> | undefined;
  /** Jinja source used instead of the model's own template. */
  template?: string | undefined;
}
export type LmExample = TextExample | CompletionExample | ChatExample;

/** A prompt and texts to choose from. */
export interface OptionsExample {
  prompt: Text;
  /** Appended to the prompt as they are. */
  options: readonly Text[];
  /** Index of the right one. */
  label: number;
}
export type Example = LmExample | OptionsExample;

/** Thrown for a row that cannot be used; the message says why, file and line are added later. */
export class RowError extends Error {}

/**
 * "lm": language modelling, the loss of a token is its negative log-probability. "options":
 * classification by the mean log-probability of each option's tokens.
 */
export type TaskKind = "lm" | "options";

/** A task by name, as a run directory keeps it. */
export interface TaskReference {
  readonly name: string;
  readonly version: string;
}
/** What defineTask() makes. */
export interface Task extends TaskReference {
  readonly kind: TaskKind;
  readonly fields: Fields;
  /** @throws RowError */
  readonly example: (row: JsonRow) => Example;
  /** A run directory keeps no functions: as JSON, a task is its reference. */
  readonly toJSON: () => TaskReference;
}

/** The part of a configuration that a task is made from. */
export interface TaskSettings {
  task: string | TaskReference;
  template?: string | undefined;
  options?: readonly string[] | undefined;
  labelField: string;
  labels?: readonly (string | number)[] | undefined;
  promptField: string;
  completionField: string;
  messagesField: string;
  completionOnlyLoss: boolean;
  chatTemplate?: string | undefined;
}
