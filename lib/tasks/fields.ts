// Fields of a row: what they must be, and what they are where a format knows only text (CSV).
import { show } from "../config/problems.js";
import type { JsonRow } from "../config/types.js";
import { RowError } from "./task.js";

interface Values {
  text: string;
  number: number;
  integer: number;
  boolean: boolean;
  list: readonly unknown[];
  any: unknown;
}
type FieldType = keyof Values;

/**
 * Fields by name. "text" takes numbers and booleans as they are written; "number", "integer" and
 * "boolean" take the text of one (a cell of a CSV file), "integer" also true and false as 1 and 0.
 * A type that ends in "?" need not be there.
 */
export type Fields = Readonly<Record<string, FieldType | `${FieldType}?`>>;

/** A row of the fields. */
export type RowOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends FieldType
    ? Values[F[K]]
    : F[K] extends `${infer T extends FieldType}?`
      ? Values[T] | undefined
      : never;
};

const numeral = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

function number(value: unknown): unknown {
  return typeof value === "string" && numeral.test(value) ? Number(value) : value;
}

/** Undefined where a value is not of the type. */
const converters: { [T in FieldType]: (value: unknown) => Values[T] | undefined } = {
  text: (value) =>
    typeof value === "string" || typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : undefined,
  number: (value) => {
    const given = number(value);
    return typeof given === "number" ? given : undefined;
  },
  integer: (value) => {
    const given = typeof value === "boolean" ? Number(value) : number(value);
    return Number.isInteger(given) ? (given as number) : undefined;
  },
  boolean: (value) => {
    if (typeof value === "boolean") return value;
    const word = String(value).trim().toLowerCase();
    if (["1", "true"].includes(word)) return true;
    return ["0", "false"].includes(word) ? false : undefined;
  },
  list: (value) => (Array.isArray(value) ? value : undefined),
  any: (value) => value,
};
const articles: Partial<Record<FieldType, string>> = { text: "text", integer: "an integer" };

/** Whether a type is one of those above. */
export function isFieldType(type: unknown): boolean {
  return typeof type === "string" && Object.hasOwn(converters, type.replace(/\?$/, ""));
}

/** A value as a type; undefined where it is not one. */
export function convert<T extends FieldType>(type: T, value: unknown): Values[T] | undefined {
  return converters[type](value);
}

/** The value of a field. null, and a cell without a number, stand for nothing. @throws RowError */
export function fieldOf(row: JsonRow, name: string, type: string): unknown {
  const base = type.replace(/\?$/, "") as FieldType;
  const given = row[name];
  const isNothing = given === "" && base !== "text" && base !== "any";
  if (given === undefined || given === null || isNothing) {
    if (base !== type) return undefined;
    throw new RowError(`field ${show(name)} is ${isNothing ? "empty" : "missing"}`);
  }
  const value = convert(base, given);
  if (value !== undefined) return value;
  const form = articles[base] ?? `a ${base}`;
  throw new RowError(`field ${show(name)} is ${show(given)}, not ${form}`);
}

/** The fields of a row. @throws RowError */
export function rowOf<F extends Fields>(row: JsonRow, fields: F): RowOf<F> {
  const entries = Object.entries(fields).map(([name, type]) => [name, fieldOf(row, name, type)]);
  return Object.fromEntries(entries) as RowOf<F>;
}

/**
 * A field that lists texts, or a list inside a field: "answers.text".
 * @param name where the value stands, for messages
 * @throws RowError when it is no list of at least one text
 */
export function textsOf(value: unknown, name: string): readonly [string, ...string[]] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    const [first, ...others] = value;
    if (first !== undefined) return [first, ...others];
    throw new RowError(`field ${show(name)} is empty`);
  }
  if (value === undefined || value === null) throw new RowError(`field ${show(name)} is missing`);
  throw new RowError(`field ${show(name)} is ${show(value)}, not a list of texts`);
}
