// zo2 eval
import { evaluateFlags } from "../config/flags.js";
import type { EvaluateConfig } from "../config/types.js";
import { evaluate } from "../evaluate.js";
import type { EvaluatedRow } from "../evaluation.js";
import { dataNotes } from "./notes.js";
import { type Output, percent, short } from "./output.js";
import { type Given, gather } from "./settings.js";

function describe({ line, loss, tokens, prediction, label }: EvaluatedRow): string {
  const verdict =
    prediction === undefined
      ? ""
      : `  option ${prediction}${prediction === label ? "" : ` (right: ${label})`}`;
  return `line ${line}  loss ${short(loss)}  tokens ${tokens}${verdict}`;
}

/** @returns exit code */
export async function evalCommand(given: Given, output: Output): Promise<number> {
  // What is gathered is unchecked; evaluate() checks it.
  const config = (await gather(evaluateFlags, given)) as unknown as EvaluateConfig;
  const { loss, accuracy, rows, data } = await evaluate(config);
  output.object({ event: "data", role: "eval", ...data });
  for (const note of dataNotes("eval", data)) output.note(note);
  if (given.perExample) {
    for (const row of rows) {
      output.object({ event: "row", ...row });
      output.text(describe(row));
    }
  }
  output.object({ event: "done", loss, accuracy, rows: rows.length });
  const share = accuracy === null ? "" : `  accuracy ${percent(accuracy)}`;
  output.text(`loss ${short(loss)}${share}  rows ${rows.length}`);
  return 0;
}
