// zo2 export
import { exportFlags } from "../config/flags.js";
import type { ExportConfig } from "../config/types.js";
import { type ExportOptions, type ExportResult, exportModel } from "../exporter.js";
import { downloadHooks } from "./downloads.js";
import { interrupted, listenForInterrupts } from "./interrupt.js";
import type { Output } from "./output.js";
import { type Given, gather } from "./settings.js";

/** Has `write` write a model; Ctrl-C ends it. @returns exit code */
export async function writing(
  output: Output,
  write: (options: ExportOptions) => Promise<ExportResult>,
): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  const interrupts = listenForInterrupts(() => {
    output.note("stopping; Ctrl-C again ends at once");
    controller.abort();
  });
  try {
    const result = await write({ signal, ...downloadHooks(output) });
    output.object({ event: "done", ...result });
    output.text(`wrote the weights after step ${result.step} to ${result.out}`);
    return 0;
  } catch (error) {
    if (error !== signal.reason) throw error;
    output.note("stopped: nothing was written");
    return interrupted;
  } finally {
    interrupts.release();
  }
}

/** @returns exit code */
export async function exportCommand(given: Given, output: Output): Promise<number> {
  // What is gathered is unchecked; exportModel() checks it.
  const config = (await gather(exportFlags, given)) as unknown as ExportConfig;
  return writing(output, (options) => exportModel(config, options));
}
