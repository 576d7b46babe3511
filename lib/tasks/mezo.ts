// What MeZO's tasks (arXiv 2305.17333, table of prompts, and the code published with it) have in common:
// how their texts begin, meet and end.
import { type Choice, choiceTask } from "./options.js";
import type { GenerationExample, TaskMaker } from "./task.js";

/** A prompt begins with its first word. */
export function mezoPrompt(text: string): string {
  return text.trimStart();
}

/** What follows a prompt that ends in a word. */
export function mezoOption(text: string): string {
  return ` ${text}`.replace(/ +$/, "");
}

/** A task whose prompt is a template; without a domain prompt, options are compared bare. */
export function mezoChoice(choice: Choice): TaskMaker {
  const full = { ...choice, domainPrompt: choice.domainPrompt ?? "", finish: mezoPrompt };
  return (settings) => choiceTask(full, settings);
}

/** A prompt that ends in "Answer:". The first answer is trained on, and a newline ends it. */
export function mezoAnswer(
  prompt: string,
  answers: readonly [string, ...string[]],
): GenerationExample {
  return { prompt: mezoPrompt(prompt), completion: ` ${answers[0]}\n`, answers };
}
