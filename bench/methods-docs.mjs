// node bench/methods-docs.mjs [RESULTS [DOCS]]: puts what suite methods found into docs/methods.md, between the comments
// that name a file of results and the one behind them, and draws a chart of each: docs/methods.svg ...
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { lineCharts } from "./line-chart.mjs";
import { markdown } from "./report.mjs";

const place = /<!-- bench\/results\/(methods[^/ ]*)\.json -->\n.*?<!-- end -->/gs;

function chart(results, name, title) {
  const value = (point) => (name === "accuracy" ? 100 * point.accuracy : point.loss);
  const series = results.map((of) => ({
    name: of.name,
    points: of.curve.map((point) => [point.passes, value(point)]),
  }));
  return { title, xLabel: "forward passes of a batch", series };
}

const root = join(import.meta.dirname, "..");
const [from = join(root, "bench/results"), docs = join(root, "docs")] = process.argv.slice(2);
const page = join(docs, "methods.md");
let text = await readFile(page, "utf8");
const places = [...text.matchAll(place)];
if (places.length === 0) throw new Error(`${page} names no file of results`);
for (const [old, name] of places) {
  const file = join(from, `${name}.json`);
  if (!existsSync(file)) continue;
  const found = JSON.parse(await readFile(file, "utf8"));
  // Without its heading, which the page has.
  const table = markdown("methods", found).split("\n").slice(2).join("\n");
  text = text.replace(
    old,
    () => `<!-- bench/results/${basename(file)} -->\n${table}\n<!-- end -->`,
  );
  const [{ results }] = found;
  const charts = [
    chart(results, "loss", "loss on dev rows"),
    chart(results, "accuracy", "accuracy on dev rows, %"),
  ];
  await writeFile(join(docs, `${name}.svg`), lineCharts(charts));
}
await writeFile(page, text);
