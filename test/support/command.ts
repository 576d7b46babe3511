import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

/** The repository. */
export const root: string = join(import.meta.dirname, "../..");

/** What `node ARGS` wrote, run in the repository; a rejection holds its stderr. */
export const node = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(process.execPath, args, { cwd: root, timeout: 120_000 });
