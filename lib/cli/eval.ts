// zo2 eval
import { evaluateFlags } from "../config/flags.js";
import { show } from "../config/problems.js";
import type { EvaluateConfig } from "../config/types.js";
import { evaluate } from "../evaluate.js";
import type { EvaluatedRow } from "../evaluation.js";
import { downloadHooks } from "./downloads.js";
import { dataNotes } from "./notes.js";
import { type Output, percent, shares, short } from "./output.js";
import { type Given, gather } from "./settings.js";

function verdict({ prediction, label, labels = [], text, answers = [], f1 }: EvaluatedRow): string {
  if (text !== undefined) {
    return `  F1 ${percent(f1 ?? 0)}  ${show(text)} (right: ${answers.map(show).join(", ")})`;
  }
  if (prediction === undefined) return "";
  const isRight = prediction === label || labels.includes(prediction);
  return `  option ${prediction}${isRight ? "" : ` (right: ${label})`}`;
}

function describe(row: EvaluatedRow): string {
  const { line, loss, tokens } = row;
  return `line ${line}  loss ${short(loss)}  tokens ${tokens}${verdict(row)}`;
}

/** @returns exit code */
export async function evalCommand(given: Given, output: Output): Promise<number> {
  // What is gathered is unchecked; evaluate() checks it.
  const config = (await gather(evaluateFlags, given)) as unknown as EvaluateConfig;
  const { loss, accuracy, f1, exactMatch, rows, data } = await evaluate(
    config,
    downloadHooks(output),
  );
  output.object({ event: "data", role: "eval", ...data });
  for (const note of dataNotes("eval", data)) output.note(note);
  if (given.perExample) {
    for (const row of rows) {
      output.object({ event: "row", ...row });
      output.text(describe(row));
    }
  }
  const inWords = f1 === null ? {} : { f1, exactMatch };
  output.object({ event: "done", loss, accuracy, ...inWords, rows: rows.length });
  const right = shares({ accuracy, f1, exactMatch }, "  ");
  output.text(`loss ${short(loss)}${right}  rows ${rows.length}`);
  return 0;
}
