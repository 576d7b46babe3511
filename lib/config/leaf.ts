// What schemas are made of: values with one line of help, and what they must be.
import { z } from "zod";
import { parseSize, sizeForms } from "./sizes.js";

/** What is known of a value besides its type. */
export interface LeafMeta {
  /** One line of help. */
  description: string;
  /** What a value must be, for messages: "... must be <allowed>". */
  allowed: string;
}

export function leaf<T extends z.ZodType>(schema: T, allowed: string, description: string): T {
  return schema.meta({ description, allowed }) as T;
}
export function text(description: string): z.ZodString {
  return leaf(z.string().min(1), "a non-empty text", description);
}
export function choice<const T extends readonly [string, ...string[]]>(
  values: T,
  description: string,
): z.ZodEnum<{ [K in T[number]]: K }> {
  const allowed = `one of ${values.map((value) => `"${value}"`).join(", ")}`;
  return leaf(z.enum(values), allowed, description);
}
export function integer(least: number, description: string, most: number = 2 ** 53 - 1): z.ZodInt {
  const schema = z.int().min(least).max(most);
  const power = Math.log2(most + 1);
  const limit = Number.isInteger(power) ? `2^${power} - 1` : String(most);
  return leaf(schema, `an integer from ${least} to ${limit}`, description);
}
/** The engine computes in f32, whose largest number is 3.4e38. */
export function notNegative(description: string): z.ZodNumber {
  return leaf(z.number().min(0).lt(1e30), "a number of at least 0 and below 1e30", description);
}
export function positive(description: string): z.ZodNumber {
  return leaf(z.number().gt(0), "a number above 0", description);
}
export function share(description: string): z.ZodNumber {
  return leaf(z.number().min(0).lt(1), "a number from 0, below 1", description);
}
/** Bytes, also of texts with a unit. */
export function size(
  description: string,
): z.ZodPipe<
  z.ZodUnion<readonly [z.ZodNumber, z.ZodString]>,
  z.ZodTransform<number, string | number>
> {
  const schema = z.union([z.number(), z.string()]).transform((given, context) => {
    const bytes = parseSize(given);
    if (bytes !== undefined) return bytes;
    context.addIssue({ code: "custom", message: "size" });
    return z.NEVER;
  });
  return leaf(schema, sizeForms, description);
}
export function flag(what: string): z.ZodBoolean {
  return leaf(z.boolean(), "true or false", what);
}
/** What of a model is meant, as PEFT's target_modules says it. */
export function namePattern(
  what: string,
): z.ZodUnion<readonly [z.ZodString, z.ZodArray<z.ZodString>]> {
  return leaf(
    z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
    "a regular expression, or a list of names or their last parts",
    what,
  );
}
