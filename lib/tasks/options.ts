// Option scoring: a prompt from a template, and one text per class appended to it.
import type { JsonRow } from "../config/types.js";
import { invalid, show } from "../config/problems.js";
import { type OptionsTask, RowError, type TaskSettings } from "./task.js";
import { parseTemplate, type Template } from "./template.js";

function goldOf(row: JsonRow, field: string, labels: readonly string[] | number): number {
  const value = row[field];
  if (value === undefined) throw new RowError(`field "${field}" is missing`);
  if (typeof labels === "number") {
    const index = typeof value === "boolean" ? Number(value) : value;
    if (Number.isInteger(index) && (index as number) >= 0 && (index as number) < labels) {
      return index as number;
    }
    throw new RowError(
      `field "${field}" is ${show(value)}, not an index from 0 to ${labels - 1}` +
        (typeof value === "string" ? "; name its values in data.labels" : ""),
    );
  }
  const named = typeof value === "string" || typeof value === "number";
  const index = named ? labels.indexOf(String(value)) : -1;
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

export function options(settings: TaskSettings): OptionsTask {
  const { template, options: texts, labels, labelField } = settings;
  if (template === undefined) throw invalid('data.template is missing; task "options" needs one');
  if (texts === undefined) throw invalid('data.options is missing; task "options" needs them');
  if (labels && labels.length !== texts.length) {
    throw invalid(`data.labels has ${labels.length} values for ${texts.length} data.options`);
  }
  const prompt = parse(template);
  const values = labels?.map(String) ?? texts.length;
  requireDistinct("options", texts);
  if (typeof values !== "number") requireDistinct("labels", values);
  return {
    kind: "options",
    example: (row) => ({
      prompt: prompt.render(row),
      options: texts,
      gold: goldOf(row, labelField, values),
    }),
  };
}
