// Option scoring: a prompt from a template, and one text per class appended to it.
import { invalid, show } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { defineTask } from "./define.js";
import { convert, type Fields } from "./fields.js";
import { RowError, type Task, type TaskSettings } from "./task.js";
import { parseTemplate, type Template } from "./template.js";

/** A label as a format knows it: 1, "1" and, for an index, true are the same. */
function indexOf(value: unknown, field: string, labels: readonly string[] | number): number {
  if (typeof labels === "number") {
    const index = convert("integer", value);
    if (index !== undefined && index >= 0 && index < labels) return index;
    throw new RowError(
      `field "${field}" is ${show(value)}, not an index from 0 to ${labels - 1}` +
        (typeof value === "string" ? "; name its values in data.labels" : ""),
    );
  }
  const index = labels.indexOf(convert("text", value) ?? "");
  if (index >= 0) return index;
  throw new RowError(`field "${field}" is ${show(value)}, not one of ${show(labels)}`);
}

function requireDistinct(name: string, values: readonly string[]): void {
  const again = values.find((value, index) => values.indexOf(value) !== index);
  if (again === undefined) return;
  throw invalid(`data.${name} holds ${show(again)} twice; each must differ from the others`);
}

function parse(template: string): Template {
  try {
    return parseTemplate(template);
  } catch (error) {
    throw invalid(`data.${(error as Error).message}`, error);
  }
}

/** A prompt, and texts that stand for the values of the label field. */
export interface Choice {
  name: string;
  template: string;
  /** Appended to the prompt as they are, in the order of the label's indices. */
  options: readonly string[];
  /** As in {@link OptionsExample}. */
  domainPrompt?: string;
  /** Fields that the template shows changed. */
  shown?: Readonly<Record<string, (text: string) => string>>;
  /** What becomes of the filled template. */
  finish?: (prompt: string) => string;
}

/** A task that fills a template and chooses one of a few texts. @throws Zo2Error ZO2_INVALID_CONFIG */
export function choiceTask(choice: Choice, { labels, labelField }: TaskSettings): Task {
  const { name, options: texts, domainPrompt, shown = {}, finish = (text) => text } = choice;
  if (labels && labels.length !== texts.length) {
    throw invalid(`data.labels has ${labels.length} values for ${texts.length} data.options`);
  }
  const template = parse(choice.template);
  const values = labels?.map(String) ?? texts.length;
  requireDistinct("options", texts);
  if (typeof values !== "number") requireDistinct("labels", values);
  const fields: Fields = {
    ...Object.fromEntries(template.fields.map((field) => [field, "text" as const])),
    [labelField]: "any",
  };
  return defineTask({
    name,
    kind: "options",
    fields,
    example(row) {
      const filled: JsonRow = { ...row };
      for (const [field, as] of Object.entries(shown)) filled[field] = as(String(row[field]));
      const prompt = finish(template.render(filled));
      const label = indexOf(row[labelField], labelField, values);
      return { prompt, options: texts, label, domainPrompt };
    },
  });
}

/** The task "options": everything comes from the configuration. */
export function options(settings: TaskSettings): Task {
  const { template, options: texts } = settings;
  if (template === undefined) throw invalid('data.template is missing; task "options" needs one');
  if (texts === undefined) throw invalid('data.options is missing; task "options" needs them');
  return choiceTask({ name: "options", template, options: texts }, settings);
}
