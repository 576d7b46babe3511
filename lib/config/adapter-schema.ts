// The part of the schema that says what is trained beside a model.
import { z } from "zod";
import { flag, integer, leaf, namePattern, text } from "./leaf.js";

type LoraShape = {
  r: z.ZodOptional<z.ZodNumber>;
  loraAlpha: z.ZodOptional<z.ZodNumber>;
  targetModules: z.ZodOptional<ReturnType<typeof namePattern>>;
};
type PrefixShape = {
  numVirtualTokens: z.ZodOptional<z.ZodNumber>;
};
type Strict<Shape extends z.core.$ZodShape> = z.ZodObject<Shape, z.core.$strict>;
type Given = {
  adapter: z.ZodOptional<z.ZodString>;
};

/** Of adapters that are not made yet. */
export const loraShape: LoraShape = {
  r: integer(1, "rank of adapters (default 8)", 2 ** 16 - 1).optional(),
  loraAlpha: leaf(
    z.number().gt(0).lt(1e30),
    "a number above 0 and below 1e30",
    "scale of what adapters add, times r (default 16)",
  ).optional(),
  targetModules: namePattern(
    'modules that get adapters, as trainable names tensors; "all-linear": all but the head (default: queries and values)',
  ).optional(),
};
/** Of LoraConfig. */
export const lora: Strict<LoraShape & Given> = z.strictObject({
  ...loraShape,
  adapter: text("directory of a PEFT adapter to begin from").optional(),
});
/** Of a prefix that is not made yet. */
export const prefixShape: PrefixShape = {
  numVirtualTokens: integer(1, "virtual tokens of a prefix (default 5)", 2 ** 20 - 1).optional(),
};
/** Of PrefixTuningConfig. */
export const prefixTuning: Strict<
  PrefixShape & { initByRealAct: z.ZodOptional<z.ZodBoolean> } & Given
> = z.strictObject({
  ...prefixShape,
  initByRealAct: flag(
    "begin as the keys and values of random tokens, as MeZO's prefixes do (default false)",
  ).optional(),
  adapter: text("directory of a PEFT prefix to begin from").optional(),
});
