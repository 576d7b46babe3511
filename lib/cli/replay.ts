// zo2 replay
import { parseSwitch } from "../config/flags.js";
import { invalid } from "../config/problems.js";
import { type ReplayRequest, replay } from "../replay.js";
import { writing } from "./export.js";
import type { Output } from "./output.js";
import type { Given } from "./settings.js";

/** @returns exit code */
export async function replayCommand(given: Given, output: Output): Promise<number> {
  const { base, journal, out, step, adapter, mergeAdapter } = given;
  if (typeof base !== "string") throw invalid("base is missing; give --base MODEL");
  if (typeof journal !== "string") throw invalid("journal is missing; give --journal FILE");
  if (typeof out !== "string") throw invalid("out is missing; give --out DIR");
  if (typeof step === "string" && !/^\d+$/.test(step)) {
    throw invalid(`step is ${JSON.stringify(step)}; it must be an integer of at least 0`);
  }
  const last = typeof step === "string" ? Number(step) : undefined;
  const start = typeof adapter === "string" ? adapter : undefined;
  const request = {
    base,
    journal,
    out,
    step: last,
    adapter: start,
    mergeAdapter: typeof mergeAdapter === "string" ? parseSwitch(mergeAdapter) : mergeAdapter,
  } as ReplayRequest; // replay() checks it
  return writing(output, (options) => replay(request, options));
}
