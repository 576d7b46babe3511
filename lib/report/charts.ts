// From a run's metrics to charts, as data: draw.ts draws them in the page.
import type { RunMetrics, StepPoint } from "./metrics.js";

export type Values = (number | null)[];

export interface Series {
  label: string;
  values: Values;
  /** Of the palette in draw.ts. */
  colour: number;
  width: number;
  /** Single values that lie apart: drawn as points, joined by a line. */
  points?: true;
}

export interface Chart {
  title: string;
  /** Steps, ascending. */
  x: number[];
  series: Series[];
  /** Two of the series, upper and lower, with what is between them filled. */
  band?: [number, number];
}

/** More than a screen shows. */
const mostPoints = 1000;
const mega = 1e6;

/** Consecutive steps that share a point. */
function buckets(steps: readonly StepPoint[]): StepPoint[][] {
  const size = Math.max(1, Math.ceil(steps.length / mostPoints));
  const all: StepPoint[][] = [];
  for (let at = 0; at < steps.length; at += size) all.push(steps.slice(at, at + size));
  return all;
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Means of a value and up to so many before it. */
function trailing(values: Values, window: number): Values {
  return values.map((_, i) => mean(values.slice(Math.max(0, i + 1 - window), i + 1)));
}

type Of = (point: StepPoint) => number | null;

/** Steps of points and of evaluations, and values of either at all of them. */
class Axis {
  readonly x: number[];
  readonly #groups: StepPoint[][];
  readonly #at: Map<number, number>;

  constructor({ steps, evaluations }: RunMetrics) {
    this.#groups = buckets(steps);
    const ends = this.#groups.map((group) => group.at(-1)?.step ?? 0);
    const all = new Set([...ends, ...evaluations.map(({ step }) => step)]);
    this.x = [...all].sort((a, b) => a - b);
    this.#at = new Map(this.x.map((step, i) => [step, i]));
  }

  /** One number of every group, such as its mean. */
  of(value: Of, reduce: (values: (number | null)[]) => number | null = mean): Values {
    return this.place(
      this.#groups.map((group) => [group.at(-1)?.step ?? 0, reduce(group.map(value))] as const),
    );
  }

  place(points: readonly (readonly [step: number, value: number | null])[]): Values {
    const values: Values = this.x.map(() => null);
    for (const [step, value] of points) values[this.#at.get(step) ?? -1] = value;
    return values;
  }

  /** Whether points stand for several steps each. */
  get isCoarse(): boolean {
    return this.#groups.some((group) => group.length > 1);
  }
}

const extreme =
  (of: (...values: number[]) => number) =>
  (values: (number | null)[]): number | null => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : of(...known);
  };

/** Points that a mean is of. */
const windowOf = (steps: readonly StepPoint[]): number =>
  Math.max(2, Math.round(Math.min(steps.length, mostPoints) / 50));

function lossChart(axis: Axis, { steps, evaluations }: RunMetrics): Chart {
  const loss: Of = (point) => point.loss;
  const each = axis.of(loss);
  const window = windowOf(steps);
  const series: Series[] = [
    { label: axis.isCoarse ? "training, mean" : "training", values: each, colour: 1, width: 1 },
    { label: `mean of ${window} points`, values: trailing(each, window), colour: 0, width: 2 },
  ];
  if (evaluations.length > 0) {
    const values = axis.place(evaluations.map(({ step, loss }) => [step, loss] as const));
    series.push({ label: "evaluation", values, colour: 2, width: 2, points: true });
  }
  if (!axis.isCoarse) return { title: "Loss", x: axis.x, series };
  const [highest, lowest] = [Math.max, Math.min].map((of) => axis.of(loss, extreme(of)));
  const at = series.length;
  series.push({ label: "highest", values: highest ?? [], colour: 1, width: 0 });
  series.push({ label: "lowest", values: lowest ?? [], colour: 1, width: 0 });
  return { title: "Loss", x: axis.x, series, band: [at, at + 1] };
}

function sharesChart(axis: Axis, { evaluations }: RunMetrics): Chart {
  const shares = { accuracy: "accuracy", f1: "F1", exactMatch: "exact match" } as const;
  const series = Object.entries(shares).flatMap(([name, label], colour): Series[] => {
    const values = evaluations.map(
      (event) => [event.step, event[name as keyof typeof shares] ?? null] as const,
    );
    if (values.every(([, value]) => value === null)) return [];
    return [{ label, values: axis.place(values), colour, width: 2, points: true }];
  });
  return { title: "Evaluation", x: axis.x, series };
}

function line(axis: Axis, title: string, ...lines: [label: string, value: Of][]): Chart {
  const series = lines.map(([label, value], colour) => ({
    label,
    values: axis.of(value),
    colour,
    width: 1,
  }));
  return { title, x: axis.x, series };
}

// Means, as writes may come every few steps only.
function trafficChart(axis: Axis, { steps }: RunMetrics): Chart {
  const names = { uploadBytes: "up", offloadBytes: "down", diskWriteBytes: "written to disk" };
  const window = windowOf(steps);
  const series = Object.entries(names).map(([name, label], colour) => {
    const bytes: Of = (point) => point[name as keyof typeof names] / mega;
    return { label, values: trailing(axis.of(bytes), window), colour, width: 1 };
  });
  return { title: `MB a step, mean of ${window} points`, x: axis.x, series };
}

/** Those that have something to show. */
export function chartsOf(metrics: RunMetrics): Chart[] {
  const axis = new Axis(metrics);
  const all = [
    lossChart(axis, metrics),
    sharesChart(axis, metrics),
    line(axis, "|projected gradient|", ["mean of the directions", ({ gradient }) => gradient]),
    line(axis, "Learning rate", ["learning rate", ({ learningRate }) => learningRate]),
    line(axis, "Milliseconds a step", ["step", ({ elapsedMs }) => elapsedMs]),
  ];
  if (metrics.steps.some(({ uploadBytes, offloadBytes }) => uploadBytes + offloadBytes > 0)) {
    all.push(trafficChart(axis, metrics));
  }
  const isEmpty = ({ series }: Chart): boolean =>
    series.every(({ values }) => values.every((value) => value === null));
  return all.filter((chart) => !isEmpty(chart));
}
