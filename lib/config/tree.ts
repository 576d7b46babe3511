// Reading a zod schema: its named values, in order, without wrappers.
import { z } from "zod";
import type { LeafMeta } from "./leaf.js";

/** One value of a configuration. */
export interface Leaf extends LeafMeta {
  /** Where it stands: ["method", "learningRate"]. */
  path: string[];
  /** Its type without default and optional. */
  schema: z.core.$ZodType;
  /** Undefined when there is none. */
  defaultValue: unknown;
}

/** A schema without its default, prefault and optional wrappers, and its default. */
function unwrap(schema: z.core.$ZodType): { inner: z.core.$ZodType; value: unknown } {
  let inner = schema;
  let value: unknown;
  for (;;) {
    if (inner instanceof z.ZodDefault) value = inner.def.defaultValue;
    else if (!(inner instanceof z.ZodOptional || inner instanceof z.ZodPrefault)) break;
    inner = inner.def.innerType;
  }
  return { inner, value };
}

/** Every value of a schema, objects opened. */
export function leaves(schema: z.core.$ZodType, path: string[] = []): Leaf[] {
  const { inner, value } = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([name, field]) => leaves(field, [...path, name]));
  }
  const meta = z.globalRegistry.get(inner) as LeafMeta | undefined;
  const { description = "", allowed = "a valid value" } = meta ?? {};
  return [{ path, schema: inner, defaultValue: value, description, allowed }];
}
