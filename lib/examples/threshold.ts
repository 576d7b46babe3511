// Calibration of a two-way choice: where to draw the line between its answers.

/** How much likelier the second answer is than the first, and whether it is right. */
export interface Margin {
  margin: number;
  good: boolean;
}

/** Share of rows on the right side of a threshold. */
export function thresholdAccuracy(rows: readonly Margin[], threshold: number): number {
  const right = rows.filter(({ margin, good }) => margin > threshold === good);
  return right.length / rows.length;
}

/** The threshold with the most rows on their right side; midway between two rows. */
export function bestThreshold(rows: readonly Margin[]): number {
  const sorted = [...rows].sort((a, b) => a.margin - b.margin);
  // With the line below all rows, every good one is right; each step up moves one row across.
  let right = sorted.filter(({ good }) => good).length;
  let [best, threshold] = [right, Number.NEGATIVE_INFINITY];
  sorted.forEach(({ margin, good }, index) => {
    right += good ? -1 : 1;
    const next = sorted[index + 1]?.margin ?? Number.POSITIVE_INFINITY;
    if (right <= best || next === margin) return;
    best = right;
    threshold = next === Number.POSITIVE_INFINITY ? next : (margin + next) / 2;
  });
  return threshold;
}
