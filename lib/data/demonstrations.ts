// In-context learning: rows with their answers before the row that is asked, drawn as MeZO draws them.
import { setImmediate as turn } from "node:timers/promises";
import { invalid, show } from "../config/problems.js";
import { Zo2Error } from "../errors.js";
import { type Example, RowError, rightOptions, type Task, type Text } from "../tasks/task.js";
import { countRows, type Part } from "./draw.js";
import { readRows, sourceName } from "./formats.js";
import { MersenneTwister, permutation } from "./mersenne-twister.js";

/** @throws Zo2Error ZO2_INVALID_CONFIG when the rows of a task cannot demonstrate anything */
export function checkShots({ name, kind }: Task, shots: number): void {
  if (shots === 0 || kind !== "lm") return;
  throw invalid(
    `shots is ${shots}, but rows of task ${show(name)} are no questions with answers; leave it out`,
  );
}

/** Between two demonstrations, and between the last one and the row. */
const separator = "\n\n";
/** Seeds of rows' own demonstrations are from 0 to this. */
const mostSeed = 9999;

export interface DemonstrationRequest extends Pick<Part, "source" | "draw"> {
  task: Task;
  shots: number;
  /** Draws the demonstrations of all rows, or the seeds of each row's. */
  seed: number;
  perRow: boolean;
  /** Rows that get demonstrations. */
  rows: number;
  signal?: AbortSignal | undefined;
}

function text(value: Text | undefined): string {
  if (typeof value === "string") return value;
  throw new RowError("is made of token ids, which cannot be a demonstration");
}

/** A row with its answer as text. @throws RowError */
export function demonstrationOf(example: Example): string {
  if ("options" in example) {
    const [right = 0] = rightOptions(example);
    return (text(example.prompt) + text(example.options[right])).trim();
  }
  if ("answers" in example) return (text(example.prompt) + text(example.completion)).trim();
  throw new RowError("is no question with an answer");
}

/** What is asked, behind demonstrations. */
export function withContext(example: Example, context: string): Example {
  return "options" in example || "answers" in example ? { ...example, context } : example;
}

/** Which rows of the source demonstrate for each row, or one list for all of them. */
async function drawSets(
  request: DemonstrationRequest,
  positions: readonly number[] | undefined,
  total: number,
): Promise<number[][]> {
  const { shots, seed, perRow, rows, signal } = request;
  const draw = (by: number): number[] => {
    const drawn = permutation(total, by).slice(0, shots);
    return positions === undefined ? drawn : drawn.map((index) => positions[index] ?? 0);
  };
  if (!perRow) return [draw(seed)];
  const seeds = new MersenneTwister(seed);
  const sets: number[][] = [];
  while (sets.length < rows) {
    // A permutation of a large data set takes milliseconds: others have their turn between two.
    await turn();
    signal?.throwIfAborted();
    sets.push(draw(seeds.integer(mostSeed)));
  }
  return sets;
}

/** Demonstrations by position in the source. */
async function read(
  { source, task, signal }: DemonstrationRequest,
  wanted: ReadonlySet<number>,
): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const name = sourceName(source, "demonstrations");
  let position = 0;
  for await (const placed of readRows(source)) {
    signal?.throwIfAborted();
    const isWanted = wanted.has(position);
    position += 1;
    if (!isWanted) continue;
    try {
      if ("reason" in placed) throw new RowError(placed.reason);
      found.set(position - 1, demonstrationOf(task.example(placed.row)));
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      const message = `${name}:${placed.line}: ${error.message}; it was drawn as a demonstration`;
      throw new Zo2Error("ZO2_INVALID_DATA", message, { cause: error });
    }
  }
  return found;
}

/**
 * The text before each row: demonstrations, a blank line behind each.
 * @throws Zo2Error ZO2_INVALID_DATA for a row that cannot be one, or too few rows
 */
export async function drawContexts(
  request: DemonstrationRequest,
): Promise<(index: number) => string> {
  const { source, draw, shots, perRow, signal } = request;
  const all = await countRows(source, signal);
  const positions = draw?.(all);
  const total = positions?.length ?? all;
  if (total < shots) {
    const name = sourceName(source, "demonstrations");
    const which = positions === undefined ? "" : " to train on";
    const message = `shots is ${shots}, but ${name} has ${total} rows${which}`;
    throw new Zo2Error("ZO2_INVALID_DATA", message);
  }
  const sets = await drawSets(request, positions, total);
  const texts = await read(request, new Set(sets.flat()));
  return (index) => {
    const set = sets[perRow ? index : 0] ?? [];
    return set.map((position) => `${texts.get(position) ?? ""}${separator}`).join("");
  };
}
