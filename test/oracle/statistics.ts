// What the distribution tests measure.

/** Standard normal cdf by its Taylor series (Marsaglia 2004); about 1e-15 within 8 sigma. */
export function normalCdf(x: number): number {
  if (x < -8) return 0;
  if (x > 8) return 1;
  let sum = x;
  let term = x;
  for (let i = 3; sum + term !== sum; i += 2) {
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Moments of standardised draws, each in standard errors of a true normal's. */
export function momentErrors(z: Float32Array): Record<string, number> {
  const sums = [0, 0, 0, 0];
  for (const x of z) for (let k = 0, p = x; k < 4; k++, p *= x) sums[k] = (sums[k] ?? 0) + p;
  const [m1, m2, m3, m4] = sums.map((s) => s / z.length) as [number, number, number, number];
  const n = z.length;
  return {
    mean: m1 * Math.sqrt(n),
    variance: (m2 - 1) * Math.sqrt(n / 2),
    skew: m3 * Math.sqrt(n / 15),
    kurtosis: (m4 - 3) * Math.sqrt(n / 96),
  };
}

/** Kolmogorov-Smirnov: sqrt(n) times the largest distance to the normal cdf. */
export function kolmogorovSmirnov(z: Float32Array): number {
  const sorted = z.slice().sort();
  let worst = 0;
  for (const [i, x] of sorted.entries()) {
    const p = normalCdf(x);
    worst = Math.max(worst, p - i / z.length, (i + 1) / z.length - p);
  }
  return worst * Math.sqrt(z.length);
}

export function countBeyond(z: Float32Array, sigma: number): number {
  let count = 0;
  for (const x of z) if (Math.abs(x) > sigma) count++;
  return count;
}

/** Correlation of a[i] and b[i + lag] in standard errors; both have mean 0 and variance 1. */
export function correlation(a: Float32Array, b: Float32Array, lag = 0): number {
  const n = a.length - lag;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (a[i] ?? NaN) * (b[i + lag] ?? NaN);
  return sum / Math.sqrt(n);
}

/** The same of (z^2 - 1) / sqrt 2: whether large draws come together. */
export function magnitudeCorrelation(a: Float32Array, b: Float32Array, lag = 0): number {
  const scaled = (z: Float32Array): Float32Array => z.map((x) => (x * x - 1) / Math.SQRT2);
  return correlation(scaled(a), scaled(b), lag);
}

/** |x - exact| in units of the fp32 spacing at `exact`. */
export function ulps(x: number, exact: number): number {
  if (x === exact) return 0;
  const exponent = Math.floor(Math.log2(Math.max(Math.abs(exact), 2 ** -126)));
  return Math.abs(x - exact) / 2 ** (exponent - 23);
}

/** cos and sin of n / 2^24 turns in fp64, reduced to half a quarter turn in integers. */
function cosSinTurns(n: number): [number, number] {
  const quarter = Math.round(n / 2 ** 22);
  const angle = ((n - quarter * 2 ** 22) / 2 ** 22) * (Math.PI / 2);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return (
    [
      [c, s],
      [-s, c],
      [-c, -s],
      [s, -c],
    ] as const
  )[quarter % 4] as [number, number];
}

/** Design rule 3 in fp64: two normals from two words. */
export function boxMuller64(x0: number, x1: number): [number, number] {
  const r = Math.sqrt(-2 * Math.log(((x0 >>> 8) + 1) * 2 ** -24));
  const [c, s] = cosSinTurns(x1 >>> 8);
  return [r * c, r * s];
}
