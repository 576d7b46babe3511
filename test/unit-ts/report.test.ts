// The page of a run: what it shows, and that the script in it draws that.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import t from "tap";
import { train, writeReport } from "zo2";
import { chartsOf } from "../../dist/report/charts.js";
import { readMetrics, type StepPoint } from "../../dist/report/metrics.js";

const model = join(import.meta.dirname, "../../models/reviews-tiny");
const reviews = join(import.meta.dirname, "../../data/reviews/train.jsonl");
const main = join(import.meta.dirname, "../../dist/cli/main.js");

interface Drawn {
  title: string;
  labels: string[];
  data: (number | null)[][];
}

/** What the page's own script asks uPlot to draw. */
function draw(page: string): Drawn[] {
  const element = (id: string) => new RegExp(`id="${id}">([^]*?)</script>`).exec(page)?.[1];
  const script = /<script type="module">([^]*?)<\/script>/.exec(page)?.[1] ?? "";
  const drawn: Drawn[] = [];
  class Plot {
    constructor(options: { title: string; series: { label: string }[] }, data: number[][]) {
      drawn.push({ title: options.title, labels: options.series.map(({ label }) => label), data });
    }
  }
  const document = {
    documentElement: {},
    getElementById: (id: string) => ({ clientWidth: 1000, textContent: element(id) ?? null }),
  };
  const style = { getPropertyValue: () => " #222 " };
  runInNewContext(script.replace("export {};", ""), {
    document,
    uPlot: Plot,
    getComputedStyle: () => style,
    addEventListener: () => undefined,
  });
  return drawn;
}

t.test("a run ends with a page of its curves, which can be made again", async (t) => {
  const dir = t.testdir();
  const output = join(dir, "a <b> run");
  const data = { train: reviews, numDev: 20, numTrain: 40, task: "sst2" } as const;
  const schedule = { memory: "20MB", offload: "disk", roundEvery: 1 } as const;
  const config = { model, data, batchSize: 2, steps: 6, evalEvery: 3, output, schedule };
  const { report } = await train(config);
  t.equal(report, join(output, "report.html"));
  const page = readFileSync(join(output, "report.html"), "utf8");
  t.match(page, "<th>steps</th><td>6 of 6</td>");
  t.match(page, "<th>written to disk</th>");
  t.match(page, "a &lt;b> run".replace(">", "&gt;"));
  t.notMatch(page, /\b(src|href)=|@import|url\(|\bfetch\(/, "nothing is fetched");
  const drawn = draw(page);
  t.same(
    drawn.map(({ title }) => title),
    [
      "Loss",
      "Evaluation",
      "|projected gradient|",
      "Learning rate",
      "Milliseconds a step",
      "MB a step, mean of 2 points",
    ],
  );
  const [loss] = drawn;
  t.same(loss?.labels, ["step", "training", "mean of 2 points", "evaluation"]);
  t.same(loss?.data[0], [0, 1, 2, 3, 4, 5, 6]);
  t.same(
    loss?.data[3]?.map((value) => value !== null),
    [true, false, false, true, false, false, true],
  );

  const out = join(dir, "page.html");
  const args = ["report", "--run", output, "--out", out, "--json"];
  const said = JSON.parse(execFileSync(process.execPath, [main, ...args], { encoding: "utf8" }));
  t.same(said, { event: "done", report: out, steps: 6, evaluations: 3 });
  t.equal(readFileSync(out, "utf8"), page);
});

t.test("what holds no run, and what cannot be written", async (t) => {
  const dir = t.testdir();
  await t.rejects(writeReport({ run: dir }), { code: "ZO2_RUN_NOT_FOUND" });
  await t.rejects(writeReport({} as never), { code: "ZO2_INVALID_CONFIG", message: /run/ });
  const output = join(dir, "run");
  await train({ model, data: { train: reviews, task: "sst2" }, steps: 1, output });
  const out = join(dir, "none/report.html");
  await t.rejects(writeReport({ run: output, out }), { code: "ZO2_IO", message: out });
});

t.test("long runs share points; torn and foreign lines are passed over", async (t) => {
  const steps = Array.from({ length: 2500 }, (_, i) => {
    const loss = i === 7 ? null : 2 + Math.cos(i);
    return `{"event":"step","step":${i + 1},"loss":${loss},"projectedGrads":[-2,null],"learningRate":1,"elapsedMs":1,"tokens":2}`;
  });
  const lines = [...steps, "[]", '{"event":"step","st'];
  const metrics = await readMetrics(join(t.testdir({ m: lines.join("\n") }), "m"));
  t.equal(metrics.steps.length, 2500);
  t.equal(metrics.unread, 2);
  t.match(metrics.steps[0], { gradient: null, uploadBytes: 0 } satisfies Partial<StepPoint>);
  const [loss, ...others] = chartsOf(metrics);
  t.same(
    others.map(({ title }) => title),
    ["Learning rate", "Milliseconds a step"],
    "charts without values are left out",
  );
  t.equal(loss?.x.length, Math.ceil(2500 / 3));
  t.equal(loss?.x[1], 6);
  t.same(loss?.band, [2, 3]);
  const [mean, , highest, lowest] = loss?.series ?? [];
  const third = [2 + Math.cos(6), 2 + Math.cos(8)]; // and one that is not finite
  t.equal(mean?.values[2], ((third[0] ?? 0) + (third[1] ?? 0)) / 2);
  t.equal(highest?.values[2], Math.max(...third));
  t.equal(lowest?.values[2], Math.min(...third));
});
