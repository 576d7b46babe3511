// What a prompt may be.
import type { Prompt } from "../config/types.js";
import type { ChatMessage } from "../tasks/task.js";

const isMessages = (value: unknown): value is ChatMessage[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((item) => typeof item === "object" && item !== null && "role" in item);
export function isPrompt(value: unknown): value is Prompt {
  return typeof value === "string" || isMessages(value);
}

/** Whether `prompts` of a configuration is what it must be. */
export function arePrompts(value: unknown): value is Prompt | Prompt[] {
  return isPrompt(value) || (Array.isArray(value) && value.length > 0 && value.every(isPrompt));
}
