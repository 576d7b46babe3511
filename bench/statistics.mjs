export function median(list) {
  const sorted = Float64Array.from(list).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** To so many significant digits. */
export const digits = (x, count = 3) => Number(x.toPrecision(count));

/** Mean and its standard error. */
export function meanAndError(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const error = Math.sqrt(squares / Math.max(1, values.length - 1) / values.length);
  return { mean, error };
}

/** The same, rounded. */
export function summary(values) {
  const { mean, error } = meanAndError(values);
  return { mean: digits(mean, 6), error: digits(error, 2) };
}
