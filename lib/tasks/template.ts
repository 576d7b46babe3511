// Prompts with places for fields: "{sentence} It was". "{{" and "}}" stand for braces.
import type { JsonRow } from "../config/types.js";
import { RowError } from "./task.js";

type Part = { text: string } | { field: string };

/** A parsed template. */
export interface Template {
  readonly fields: readonly string[];
  /** The text of a row. @throws RowError when a field is missing, an object or a list */
  render(row: JsonRow): string;
}

function parse(template: string): Part[] {
  const parts: Part[] = [];
  const token = /\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g;
  for (const [match, field] of template.matchAll(token)) {
    if (field?.trim()) parts.push({ field: field.trim() });
    else if (match === "{" || match === "}" || field !== undefined) {
      throw new SyntaxError(
        `template ${JSON.stringify(template)} has a lone or empty brace; ` +
          "write {field}, or {{ and }} for braces",
      );
    } else parts.push({ text: match === "{{" ? "{" : match === "}}" ? "}" : match });
  }
  return parts;
}

/** The text of a field. @throws RowError */
export function textField(row: JsonRow, field: string): string {
  const value = row[field];
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const problem = value === undefined ? "is missing" : "is not text";
  throw new RowError(`field "${field}" ${problem}`);
}

/** Parses a template. @throws SyntaxError */
export function parseTemplate(template: string): Template {
  const parts = parse(template);
  return {
    fields: parts.flatMap((part) => ("field" in part ? [part.field] : [])),
    render: (row) =>
      parts.map((part) => ("field" in part ? textField(row, part.field) : part.text)).join(""),
  };
}
