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
  /** Text before the prompt: demonstrations, the first to go where a row is too long. */
  context?: string | undefined;
  prompt: Text;
  /** Appended to the prompt as they are. */
  options: readonly Text[];
  /** Index of the right one, or of every right one: the first of these is trained on. */
  label: number | readonly number[];
  /**
   * A prompt before the same options that says nothing of the row: calibration compares each option with
   * itself behind it (surface form competition, arXiv 2104.08315).
   */
  domainPrompt?: Text | undefined;
  /** What each option is called, where F1 and exact match compare it with what is right. */
  candidates?: readonly string[] | undefined;
}
/** A prompt that is answered by generating text. */
export interface GenerationExample {
  /** Text before the prompt: demonstrations, the first to go where a row is too long. */
  context?: string | undefined;
  prompt: Text;
  /** What training predicts, taken as it is: with its end, and without an end of text after it. */
  completion: Text;
  /** Answers that are right, each as good as the others. */
  answers: readonly string[];
}
export type Example = LmExample | OptionsExample | GenerationExample;

/** The options that are right. */
export function rightOptions({ label }: Pick<OptionsExample, "label">): readonly number[] {
  return typeof label === "number" ? [label] : label;
}

/** Thrown for a row that cannot be used; the message says why, file and line are added later. */
export class RowError extends Error {}

/**
 * "lm": language modelling, the loss of a token is its negative log-probability. "options":
 * classification by the mean log-probability of each option's tokens. "generation": trained as "lm"
 * on the completion, evaluated by what greedy generation answers.
 */
export type TaskKind = "lm" | "options" | "generation";

/** How answers are generated. */
export interface AnswerSettings {
  /** Most tokens of an answer. */
  maxNewTokens: number;
  /** Text that ends an answer, and is none of it. */
  stop: string;
}

/** A task by name, as a run directory keeps it. */
export interface TaskReference {
  readonly name: string;
  readonly version: string;
}
/** What defineTask() makes. */
export interface Task extends TaskReference {
  readonly kind: TaskKind;
  readonly fields: Fields;
  /**
   * Options are trained by the cross-entropy over all of them; false: the right one's tokens are
   * predicted, as in language modelling.
   */
  readonly trainAsClassification: boolean;
  /** Of tasks that generate. */
  readonly answer: AnswerSettings;
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

/** A task from its settings. @throws Zo2Error ZO2_INVALID_CONFIG */
export type TaskMaker = (settings: TaskSettings) => Task;
