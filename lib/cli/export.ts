// zo2 export
import { invalid } from "../config/problems.js";
import { exportModel } from "../exporter.js";
import type { Output } from "./output.js";
import type { Given } from "./settings.js";

/** @returns exit code */
export async function exportCommand(given: Given, output: Output): Promise<number> {
  const { run, out } = given;
  if (typeof run !== "string") throw invalid("run is missing; give --run RUN");
  if (typeof out !== "string") throw invalid("out is missing; give --out DIR");
  const result = await exportModel({ run, out });
  output.object({ event: "done", ...result });
  output.text(`wrote the weights after step ${result.step} to ${result.out}`);
  return 0;
}
