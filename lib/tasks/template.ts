// Prompts with places for fields: "{sentence} It was". "{{" and "}}" stand for braces.
import type { JsonRow } from "../config/types.js";
import { fieldOf } from "./fields.js";

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

/** Parses a template. @throws SyntaxError */
export function parseTemplate(template: string): Template {
  const parts = parse(template);
  return {
    fields: parts.flatMap((part) => ("field" in part ? [part.field] : [])),
    render: (row) =>
      parts
        .map((part) => ("field" in part ? fieldOf(row, part.field, "text") : part.text))
        .join(""),
  };
}
