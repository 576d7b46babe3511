// What suite methods found, as Markdown.
import { table } from "./table.mjs";

const percent = (share, places = 1) => (100 * share).toFixed(places);
const within = (error, seeds) => (seeds > 1 ? ` ± ${error}` : "");
const sign = (text) => (text.startsWith("-") ? text : `+${text}`);
const marked = (text, { clear }) => (clear ? `**${sign(text)}**` : sign(text));

function summaryTable(results, seeds) {
  const spread = ({ mean, error }) => mean.toFixed(4) + within(error.toFixed(4), seeds);
  const percents = ({ mean, error }) => percent(mean) + within(percent(error), seeds);
  const rows = results.map((of) => [
    of.name,
    of.learningRate + (of.isAtEnd ? " (end of the grid)" : ""),
    spread(of.loss),
    of === results[0] ? "" : marked(spread(of.lossToMezo), of.lossToMezo),
    percents(of.accuracy),
    of === results[0] ? "" : marked(percents(of.accuracyToMezo), of.accuracyToMezo),
  ]);
  const head = [
    "method",
    "learning rate",
    "test loss",
    "from mezo's",
    "accuracy, %",
    "from mezo's",
  ];
  return table(head, rows);
}

/** Points at the same forward passes stand in one column. */
function curveTable(results) {
  const passes = results[0].curve.map((point) => point.passes);
  const rows = results.map(({ name, curve }) => [
    name,
    ...curve.map(({ loss, accuracy }) => `${loss.toFixed(3)}, ${percent(accuracy, 0)}`),
  ]);
  return table(["dev loss and accuracy, % after", ...passes], rows);
}

function howSeeded({ seeds, rows }) {
  if (seeds === 1)
    return `then one seed, another one. On ${rows} test rows, on which nothing was chosen.`;
  return [
    `then ${seeds} seeds, the same for all. Mean ± standard error over seeds on ${rows} test rows, on`,
    "which nothing was chosen; differences to mezo are paired by seed, bold where they are more than two",
    "standard errors.",
  ].join("\n");
}

/** The table of results, that of the courses, and how both were measured. */
export function methodsTable(r) {
  return [
    `${r.model} on review snippets, ${r.passes} forward passes of ${r.batchSize} rows for each run of each method,`,
    `constant learning rate: the one of ${r.results[0].tried.length} with the least loss on ${r.devRows} dev rows after ${r.tuningPasses ?? r.passes} passes,`,
    `with a seed of its own; ${howSeeded(r)} Before: loss ${r.lossBefore}, accuracy ${percent(r.accuracyBefore)} %.`,
    "",
    summaryTable(r.results, r.seeds),
    "",
    `The course, by forward passes${r.seeds > 1 ? ", mean over seeds" : ""}:`,
    "",
    curveTable(r.results),
  ].join("\n");
}
