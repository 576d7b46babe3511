// Sizes in bytes, as people write them: 4GB is 4*10^9, 4GiB is 4*2^30.

const units: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** What {@link parseSize} accepts, for messages. */
export const sizeForms = 'bytes, or a string such as "500MB", "4GB" (10^9) or "4GiB" (2^30)';

/**
 * Bytes of a size given as a number of bytes or as a string with a unit; undefined when it is
 * neither, not positive, or above 2^53.
 */
export function parseSize(size: number | string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(size));
  if (!match) return undefined;
  const unit = units[(match[2] || "b").toLowerCase()];
  if (unit === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * unit);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes as a short text in powers of ten: 1.25 GB. */
export function formatSize(bytes: number): string {
  const [unit, scale] =
    bytes >= 1e9 ? (["GB", 1e9] as const) : bytes >= 1e6 ? (["MB", 1e6] as const) : ["kB", 1e3];
  return `${Number((bytes / scale).toPrecision(4))} ${unit}`;
}
