// Runs in the page of a report, not in Node: page.ts puts the text of what this is compiled to into it, behind uPlot's.
import type { Chart, Series } from "./charts.js";

interface Element {
  readonly clientWidth: number;
  readonly textContent: string | null;
  append(child: unknown): void;
}
interface Plot {
  setSize(size: { width: number; height: number }): void;
}
declare const document: {
  readonly documentElement: Element;
  getElementById(id: string): Element;
};
declare const addEventListener: (event: string, listener: () => void) => void;
declare const getComputedStyle: (of: Element) => { getPropertyValue(name: string): string };
declare const uPlot: new (options: object, data: unknown[], into: Element) => Plot;

// Okabe and Ito's: told apart by the colour-blind.
const palette = ["#0072b2", "#56b4e9", "#d55e00", "#009e73"];
const height = 280;

const place = document.getElementById("charts");
const style = getComputedStyle(document.documentElement);
const [ink, grid] = ["--ink", "--grid"].map((name) => style.getPropertyValue(name).trim());
const width = (): number => Math.max(320, Math.min(560, place.clientWidth));
const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
// Learning rates are small.
const short = (value: number): string => {
  const rounded = Number(value.toPrecision(4));
  return rounded !== 0 && Math.abs(rounded) < 1e-2 ? rounded.toExponential() : String(rounded);
};
const values = (_: unknown, splits: number[]): string[] => splits.map(short);

function seriesOf({ label, colour, width, points }: Series): object {
  const stroke = palette[colour % palette.length];
  return { label, stroke, width, spanGaps: points === true, points: { show: points === true } };
}

function draw({ title, x, series, band }: Chart): Plot {
  const bands = band ? [{ series: band.map((i) => i + 1), fill: "#56b4e933" }] : [];
  const options = {
    title,
    width: width(),
    height,
    scales: { x: { time: false } },
    axes: [axis, { ...axis, size: 72, values }],
    series: [{ label: "step" }, ...series.map(seriesOf)],
    bands,
  };
  return new uPlot(options, [x, ...series.map(({ values }) => values)], place);
}

const charts = JSON.parse(document.getElementById("data").textContent ?? "[]") as Chart[];
const plots = charts.map(draw);
addEventListener("resize", () => {
  for (const plot of plots) plot.setSize({ width: width(), height });
});
