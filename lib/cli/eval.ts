// zo2 eval
import { evaluateFlags } from "../config/flags.js";
import type { EvaluateConfig } from "../config/types.js";
import { describeProblems } from "../data/report.js";
import { evaluate } from "../evaluate.js";
import type { EvaluatedRow } from "../evaluation.js";
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
  if (data.unusable > 0) {
    output.note(`${data.unusable} unusable rows left out: ${describeProblems(data)}`);
  }
  if (given.perExample) {
    for (const row of rows) {
      output.object({ event: "row", ...row });
      output.text(describe(row));
    }
  }
  const unusable = data.unusable;
  const right = accuracy === null ? {} : { accuracy };
  output.object({ event: "done", loss, ...right, rows: rows.length, unusable });
  const share = accuracy === null ? "" : `  accuracy ${percent(accuracy)}`;
  output.text(`loss ${short(loss)}${share}  rows ${rows.length}`);
  return 0;
}
