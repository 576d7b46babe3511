// The command line's view of the configuration: one flag for every name, derived from the schema.
import { z } from "zod";
import { invalid } from "./problems.js";
import { evaluateSchema, exportSchema, generateSchema, planSchema, trainSchema } from "./schema.js";
import { type Leaf, leaves } from "./tree.js";

/** One flag of the command line. */
export interface Flag extends Leaf {
  /** Without the dashes: "batch-size". */
  name: string;
}

/** A configuration as parsed from JSON: objects of objects, not checked yet. */
export type RawConfig = Record<string, unknown>;

// Where the last part of a name says too little.
const named: Record<string, string> = {
  "data.train": "data",
  "data.eval": "eval-data",
  "method.name": "method",
  "lora.r": "lora-r",
  "prefixTuning.adapter": "prefix-adapter",
  prompts: "prompt",
  promptsFile: "prompts",
};

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function table(schema: z.core.$ZodType): readonly Flag[] {
  return leaves(schema).map((leaf) => ({
    ...leaf,
    name: named[leaf.path.join(".")] ?? kebab(leaf.path.at(-1) ?? ""),
  }));
}

/** Flags of `zo2 train`. */
export const trainFlags: readonly Flag[] = table(trainSchema);
/** Flags of `zo2 eval`. */
export const evaluateFlags: readonly Flag[] = table(evaluateSchema);
/** Flags of `zo2 export`. */
export const exportFlags: readonly Flag[] = table(exportSchema);

/** Flags of `zo2 generate`. */
export const generateFlags: readonly Flag[] = table(generateSchema);

/** Flags of `zo2 plan`. */
export const planFlags: readonly Flag[] = table(planSchema);

function takesNumber(schema: z.core.$ZodType): boolean {
  if (schema instanceof z.ZodUnion) return schema.options.some(takesNumber);
  return schema instanceof z.ZodNumber;
}

/** Whether the flag alone says yes. */
export function isSwitch({ schema }: Flag): boolean {
  return schema instanceof z.ZodBoolean;
}

const truths: Readonly<Record<string, boolean>> = { true: true, false: false };

/** What the text of a switch says; other texts are judged later. */
export function parseSwitch(text: string): unknown {
  return truths[text] ?? text;
}

function takesText(schema: z.core.$ZodType): boolean {
  if (schema instanceof z.ZodUnion) return schema.options.some(takesText);
  return schema instanceof z.ZodString;
}

/** The number that a text is, or else the text, for the schema to refuse. */
function parseNumber(text: string): unknown {
  const number = Number(text);
  return text.trim() === "" || Number.isNaN(number) ? text : number;
}

/** One of a list's items; where texts may stand as well, "007" and " 7" are texts. */
function parseItem(element: z.core.$ZodType, text: string): unknown {
  if (!takesNumber(element)) return text;
  const value = parseNumber(text);
  const isExact = Number.isFinite(value) && String(value) === text;
  return takesText(element) && !isExact ? text : value;
}

/** A list on the command line is JSON, or texts or numbers between commas. */
function parseList(flag: string, text: string, element: z.core.$ZodType): unknown {
  if (!text.trimStart().startsWith("[")) {
    return text.split(",").map((item) => parseItem(element, item));
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`--${flag} is not a list in JSON: ${text}`, error);
  }
}

/** A list in JSON, where the text is one; else the text itself, which may begin with a bracket. */
function parseListOrText(text: string): unknown {
  try {
    const parsed: unknown = text.startsWith("[") ? JSON.parse(text) : text;
    return parsed;
  } catch {
    return text;
  }
}

/** The value that the text of a flag stands for; the schema judges it later. */
function parseFlag(flag: Flag, text: string): unknown {
  if (flag.schema instanceof z.ZodArray) {
    return parseList(flag.name, text, flag.schema.element);
  }
  if (
    flag.schema instanceof z.ZodUnion &&
    flag.schema.options.some((one) => one instanceof z.ZodArray)
  ) {
    return parseListOrText(text);
  }
  if (isSwitch(flag)) return parseSwitch(text);
  return takesNumber(flag.schema) ? parseNumber(text) : text;
}

/** A copy of `base` with the values of flags (by flag name, as texts) put in their places. */
export function mergeFlags(
  flags: readonly Flag[],
  base: RawConfig,
  given: Readonly<Record<string, string>>,
): RawConfig {
  const merged = structuredClone(base);
  for (const flag of flags) {
    const text = given[flag.name];
    if (text === undefined) continue;
    let place = merged;
    for (const name of flag.path.slice(0, -1)) {
      const inner = place[name] ?? {};
      if (typeof inner !== "object") throw invalid(`${name} must be an object with named values`);
      place = place[name] = inner as RawConfig;
    }
    place[flag.path.at(-1) ?? ""] = parseFlag(flag, text);
  }
  return merged;
}
