// From a file (or rows in memory) to packed rows and a report.
import type { JsonRow } from "../config/types.js";
import type { NativeRows } from "../native.js";
import {
  type Example,
  type OptionsExample,
  RowError,
  rightOptions,
  type Task,
} from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { countRows, type Part } from "./draw.js";
import { encodeExamples } from "./encode.js";
import { readRows, sourceName } from "./formats.js";
import { RowPacker } from "./packer.js";
import type { Placed } from "./placed.js";
import { addProblem, type DataReport, emptyReport, requireRows } from "./report.js";
import type { Limits } from "./row-plan.js";

export interface LoadRequest extends Part {
  task: Task;
  /** Called when there is text to encode. */
  encoder: () => Promise<TextEncoder>;
  limits: Limits;
  /** Keep the rows themselves, for objectives that look at them. */
  keepRows?: boolean;
  /** Keep what the task makes of each row. */
  keepExamples?: boolean;
  /**
   * What is encoded instead of what the task makes of a row.
   * @param index of the row among those drawn, in the order of the drawing
   */
  change?: ((example: Example, index: number) => Example) | undefined;
  signal?: AbortSignal | undefined;
}
export interface LoadedData {
  rows: NativeRows;
  /** Line of each usable row. */
  lines: number[];
  /** The usable rows as parsed; empty without `keepRows`. */
  source: JsonRow[];
  /** What each usable row is; empty without `keepExamples`. */
  examples: Example[];
  /** Some row has several right options, of which `rows.gold` holds the first. */
  severalRight: boolean;
  report: DataReport;
}

/** Rows encoded at once. */
const batchRows = 1024;

interface Pending {
  line: number;
  row: JsonRow;
  example: Example;
}

function hasSeveralRight(example: Example): boolean {
  return "options" in example && rightOptions(example as OptionsExample).length > 1;
}

/** Usable rows, as they come. */
class Loading {
  readonly report: DataReport;
  readonly lines: number[] = [];
  readonly source: JsonRow[] = [];
  readonly examples: Example[] = [];
  #severalRight = false;
  #batch: Pending[] = [];
  readonly #packer: RowPacker;

  constructor(private readonly request: LoadRequest) {
    const { source, task } = request;
    this.report = emptyReport(sourceName(source, "rows"));
    this.#packer = new RowPacker(task.kind === "options" ? "options" : "lm");
  }

  async add(placed: Placed, index: number): Promise<void> {
    const { task, change = (example) => example } = this.request;
    try {
      if ("reason" in placed) throw new RowError(placed.reason);
      const example = change(task.example(placed.row), index);
      this.#batch.push({ ...placed, example });
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      addProblem(this.report, { line: placed.line, reason: error.message });
    }
    if (this.#batch.length >= batchRows) await this.#flush();
  }

  async finish(): Promise<LoadedData> {
    await this.#flush();
    this.request.signal?.throwIfAborted();
    const { lines, source, examples, report } = this;
    requireRows(report);
    const rows = this.#packer.finish();
    return { rows, lines, source, examples, severalRight: this.#severalRight, report };
  }

  async #flush(): Promise<void> {
    const { encoder, limits, keepRows = false, keepExamples = false } = this.request;
    const batch = this.#batch;
    this.#batch = [];
    const all = batch.map(({ example }) => example);
    const encoded = await encodeExamples(all, encoder, limits);
    for (const [index, { line, row, example }] of batch.entries()) {
      const result = encoded[index];
      if (result === undefined) continue;
      if (result instanceof RowError) {
        addProblem(this.report, { line, reason: result.message });
        continue;
      }
      this.#packer.add(result.sequences, result.gold);
      this.lines.push(line);
      if (keepRows) this.source.push(row);
      if (keepExamples) this.examples.push(example);
      this.#severalRight ||= hasSeveralRight(example);
      this.report.rows += 1;
      this.report.truncated += result.truncated;
      this.report.encodedApart += Number(result.encodedApart);
    }
  }
}

/** Where each position is in the drawing; undefined when all rows are meant. */
async function drawnIndices(
  { source, draw }: Part,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<number, number> | undefined> {
  if (!draw) return undefined;
  const positions = draw(await countRows(source, signal));
  return new Map(positions.map((position, index) => [position, index]));
}

/**
 * Reads, encodes and packs rows. Rows that cannot be used are reported and left out; those not drawn
 * are not looked at.
 * @throws Zo2Error ZO2_IO; ZO2_INVALID_DATA when no row can be used
 */
export async function loadData(request: LoadRequest): Promise<LoadedData> {
  const { source, signal } = request;
  const indices = await drawnIndices(request, signal);
  const loading = new Loading(request);
  let position = 0;
  for await (const placed of readRows(source)) {
    signal?.throwIfAborted();
    const index = indices ? indices.get(position) : position;
    position += 1;
    if (index !== undefined) await loading.add(placed, index);
  }
  return loading.finish();
}
