// Option scoring: a prompt from a template, and one text per class appended to it.
import { invalid, show } from "../config/problems.js";
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

export function options(settings: TaskSettings): Task {
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
  const fields: Fields = {
    ...Object.fromEntries(prompt.fields.map((field) => [field, "text" as const])),
    [labelField]: "any",
  };
  return defineTask({
    name: "options",
    kind: "options",
    fields,
    example: (row) => ({
      prompt: prompt.render(row as Record<string, string>),
      options: texts,
      label: indexOf(row[labelField], labelField, values),
    }),
  });
}
