// The ids that end a text.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fromIo, Zo2Error } from "../errors.js";
import type { OpenModel } from "../model.js";

/** eos_token_id is a number or a list of them. */
function idsOf(value: unknown): number[] | undefined {
  const list = Array.isArray(value) ? (value as unknown[]) : [value];
  const ids = list.filter((id): id is number => Number.isInteger(id));
  return ids.length > 0 ? ids : undefined;
}

async function generationConfig(dir: string): Promise<Record<string, unknown>> {
  const path = join(dir, "generation_config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return {};
    throw fromIo(error, "read", path);
  }
  try {
    return { ...(JSON.parse(text) as Record<string, unknown>) };
  } catch (error) {
    throw new Zo2Error("ZO2_INVALID_MODEL", `${path} is not JSON`, { cause: error });
  }
}

/** As transformers finds them: generation_config.json, config.json; and the tokenizer's own. */
export async function endIds({ path, info, encoder }: OpenModel): Promise<number[]> {
  const ids = idsOf((await generationConfig(path)).eos_token_id) ?? idsOf(info.config.eos_token_id);
  const { eos } = await encoder();
  return ids ?? (eos === undefined ? [] : [eos]);
}
