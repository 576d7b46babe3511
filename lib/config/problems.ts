// What is wrong with a configuration, as one sentence: field, given value, what is allowed.
import { inspect } from "node:util";
import type { z } from "zod";
import { Zo2Error } from "../errors.js";
import { type Leaf, leaves } from "./tree.js";

/** Names from elsewhere, and ours. */
const aliases: Record<string, string> = {
  lr: "method.learningRate",
  eps: "method.epsilon",
  zoEps: "method.epsilon",
  maxSteps: "steps",
  numTrainSteps: "steps",
  perDeviceTrainBatchSize: "batchSize",
  outputDir: "output",
  evalSteps: "evalEvery",
  modelNameOrPath: "model",
  dtype: "schedule.storage",
  torchDtype: "schedule.storage",
  warmup: "method.warmupSteps",
  numThreads: "schedule.threads",
  assistantOnlyLoss: "data.completionOnlyLoss",
  chatTemplatePath: "data.chatTemplate",
  maxSeqLength: "data.maxLength",
};

/** Number of single-character edits between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The candidate closest to a word, when it is close enough to be meant. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** The full name that an unknown key may have meant. */
function meant(parent: string, key: string, all: Leaf[]): string | undefined {
  const camel = key.replace(/[-_]+(\w)/g, (_, letter: string) => letter.toUpperCase());
  const names = all.map((leaf) => leaf.path.join("."));
  const same = names.find((name) => name === parent + camel || name.split(".").at(-1) === camel);
  if (same) return same;
  if (Object.hasOwn(aliases, camel)) return aliases[camel];
  const siblings = names.filter((name) => name.startsWith(parent));
  const own = closest(
    camel,
    siblings.map((name) => name.slice(parent.length)),
  );
  if (own) return parent + own;
  const last = closest(
    camel,
    names.map((name) => name.split(".").at(-1) ?? name),
  );
  return last && names.find((name) => name.split(".").at(-1) === last);
}

function valueAt(input: unknown, path: PropertyKey[]): unknown {
  let value = input;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined | null)?.[key];
  return value;
}

/** JSON has no names for these. */
function nameOdd(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function textOf(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return String(value);
  try {
    return JSON.stringify(value, nameOdd) ?? String(value);
  } catch {
    // It contains itself, or has a toJSON() that throws.
    return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY });
  }
}

const longest = 80;

/** A text of at most 80 characters; those around position `at` are kept. */
export function shorten(text: string, at: number = 0): string {
  if (text.length <= longest) return text;
  const start = Math.max(0, Math.min(at - longest / 2, text.length - longest + 3));
  const before = start > 0 ? "..." : "";
  const room = longest - before.length;
  const rest = text.slice(start);
  return before + (rest.length > room ? `${rest.slice(0, room - 3)}...` : rest);
}

/** A value as JSON, shortened; whatever it is. */
export function show(value: unknown): string {
  return shorten(textOf(value));
}

function sentence(issue: z.core.$ZodIssue, input: unknown, all: Leaf[]): string {
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const parent = path ? `${path}.` : "";
    return issue.keys
      .map((key) => {
        const hint = meant(parent, key, all);
        return `${parent}${key} is not known${hint ? `; did you mean ${hint}?` : ""}`;
      })
      .join("; ");
  }
  // An element of a list is described by the list's own sentence.
  const leaf = all.find(({ path: own }) => own.every((name, i) => name === issue.path[i]));
  const value = valueAt(input, issue.path);
  const where = path || "the configuration";
  const allowed = leaf?.allowed ?? "an object with named values";
  if (value === undefined) return `${where} is missing; it must be ${allowed}`;
  if (!leaf || leaf.path.length === issue.path.length) {
    return `${where} is ${show(value)}; it must be ${allowed}`;
  }
  return `${where} is ${show(value)}; ${leaf.path.join(".")} must be ${allowed}`;
}

/** Checks an input against a schema. @throws Zo2Error ZO2_INVALID_CONFIG naming every problem. */
export function check<Out, In>(schema: z.ZodType<Out, In>, input: unknown): Out {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const all = leaves(schema);
  const sentences = result.error.issues.map((issue) => sentence(issue, input, all));
  throw invalid([...new Set(sentences)].join("\n"));
}

/** An error of code ZO2_INVALID_CONFIG. */
export function invalid(message: string, cause?: unknown): Zo2Error {
  return new Zo2Error("ZO2_INVALID_CONFIG", message, cause === undefined ? {} : { cause });
}
