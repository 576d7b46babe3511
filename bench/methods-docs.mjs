// node bench/methods-docs.mjs [RESULTS [DOCS]]: puts what suite methods found into docs/methods.md, between its two
// comments, and draws docs/methods.svg.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { lineCharts } from "./line-chart.mjs";
import { markdown } from "./report.mjs";

const [begin, end] = ["<!-- bench/results/methods.json -->", "<!-- end -->"];

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
const found = JSON.parse(await readFile(join(from, "methods.json"), "utf8"));
const page = join(docs, "methods.md");
const text = await readFile(page, "utf8");
const [start, stop] = [text.indexOf(begin), text.indexOf(end)];
if (start < 0 || stop < start) throw new Error(`${page} lacks the lines ${begin} and ${end}`);
// Without its heading, which the page has.
const table = markdown("methods", found).split("\n").slice(2).join("\n");
await writeFile(page, `${text.slice(0, start)}${begin}\n${table}\n${text.slice(stop)}`);
const [{ results }] = found;
const charts = [
  chart(results, "loss", "loss on dev rows"),
  chart(results, "accuracy", "accuracy on dev rows, %"),
];
await writeFile(join(docs, "methods.svg"), lineCharts(charts));
