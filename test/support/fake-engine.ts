// An engine without arithmetic, for tests of everything above it: it keeps to lib/native.ts, takes
// steps in turns of the event loop, and notes what it was asked.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type {
  NativeEngine,
  NativeEvalOptions,
  NativeEvalResult,
  NativeLoadOptions,
  NativeModelInfo,
  NativeTrainOptions,
  NativeTrainResult,
} from "../../dist/native.js";
import type { NativeGenerateOptions, NativeGenerateResult } from "../../dist/native-generate.js";
import type { Runtime } from "../../dist/runtime.js";

export interface FakeSettings {
  /** Milliseconds a step takes (0: a turn of the event loop). */
  stepMs?: number;
  /** Milliseconds an evaluation takes. */
  evalMs?: number;
  /** Milliseconds of load() and of replay(). */
  loadMs?: number;
  replayMs?: number;
  /** Milliseconds of what train() does before its first step. */
  placeMs?: number;
  /** Loss that evaluations give. */
  evalLoss?: number;
  /** Tokens that generate() gives for each prompt. */
  generated?: number[][];
  info?: Partial<NativeModelInfo>;
  failLoad?: Error;
  failAtStep?: number;
  /** Thrown in the middle of exportTo(). */
  failExport?: Error;
  onExport?: () => void;
}

function rowTexts(options: NativeTrainOptions): number {
  return options.trainRows.rowOffsets.length - 1;
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Run directories that an engine works in. */
const locked = new Set<string>();

export class FakeEngine implements NativeEngine {
  readonly calls: string[] = [];
  loaded: NativeLoadOptions | undefined;
  trained: NativeTrainOptions | undefined;
  generated: NativeGenerateOptions | undefined;
  readonly endedSequences = new Set<number>();
  closed = false;
  /** Files in the directory that exportTo() was given. */
  foundByExport: string[] = [];
  #stop = false;
  #answer: ((scores: Float64Array | null, error: string | null) => void) | undefined;

  constructor(private readonly settings: FakeSettings) {}

  async load(options: NativeLoadOptions): Promise<NativeModelInfo> {
    this.calls.push("load");
    this.loaded = options;
    await this.#work(this.settings.loadMs, "loading");
    if (this.settings.failLoad) throw this.settings.failLoad;
    if (options.memoryBytes && options.memoryBytes < 40_000)
      throw Object.assign(new Error("needs 40000 bytes"), { code: "ZO2_OUT_OF_MEMORY" });
    return {
      family: "llama",
      format: "safetensors",
      config: {},
      parameters: 10,
      vocabSize: 300,
      maxPositions: 32,
      maxPositionsField: "max_position_embeddings",
      tensors: [],
      weightBytes: 40_000,
      isa: "fake",
      threads: 1,
      ...this.settings.info,
    };
  }

  async train(
    options: NativeTrainOptions,
    onEvent: (json: string) => void,
  ): Promise<NativeTrainResult> {
    this.calls.push("train");
    this.trained = options;
    const output = resolve(options.output);
    // As from another thread: events arrive in order, but the steps go on meanwhile.
    let delivered = pause(0);
    const post = (json: string): void => {
      delivered = delivered.then(() => pause(0)).then(() => onEvent(json));
    };
    await delivered;
    try {
      if (locked.has(output)) throw failure("ZO2_RUN_LOCKED", `${output} is locked`);
      locked.add(output);
      try {
        return await this.#takeSteps(options, post);
      } finally {
        locked.delete(output);
      }
    } finally {
      this.#stop = false;
      await delivered;
    }
  }

  async #takeSteps(
    options: NativeTrainOptions,
    onEvent: (json: string) => void,
  ): Promise<NativeTrainResult> {
    const { placeMs } = this.settings;
    if (placeMs !== undefined) await this.#work(placeMs, "placing weights");
    mkdirSync(options.output, { recursive: true });
    const journal = join(options.output, "journal.ndjson");
    const lines = existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 1 : 0;
    if (lines === 0) writeFileSync(journal, '{"record":0}\n');
    let step = Math.max(0, lines - 1);
    const start = { event: "start", resumedFrom: step, steps: options.steps };
    onEvent(JSON.stringify({ ...start, replayedFrom: 0, notes: [] }));
    while (step < options.steps && !this.#stop) {
      if (this.settings.failAtStep === step + 1) {
        throw failure("ZO2_IO", "the disk is full");
      }
      await pause(this.settings.stepMs ?? 0);
      const loss = options.customObjective ? await this.#score(step + 1, options, onEvent) : 1;
      step += 1;
      appendFileSync(journal, `{"step":${step}}\n`);
      onEvent(JSON.stringify(stepEvent(step, loss, options)));
      if (options.evalRows && options.evalEvery > 0 && step % options.evalEvery === 0) {
        onEvent(JSON.stringify({ event: "eval", step, loss: 0.5, accuracy: 0.75, elapsedMs: 1 }));
      }
    }
    return { step, stopped: step < options.steps, saturated: 0 };
  }

  async #score(
    step: number,
    options: NativeTrainOptions,
    onEvent: (json: string) => void,
  ): Promise<number> {
    const rows = [0, rowTexts(options) - 1];
    const logprobs = [0, 1].map((branch) => rows.map((row) => [-1 - branch, -2 - row]));
    const answered = new Promise<Float64Array>((resolve, reject) => {
      this.#answer = (scores, error) =>
        scores ? resolve(scores) : reject(failure("ZO2_ABORTED", error ?? ""));
    });
    onEvent(JSON.stringify({ event: "score", step, rows, logprobs }));
    const scores = await answered;
    return scores.reduce((sum, score) => sum + score, 0) / scores.length;
  }

  async evaluate({ rows }: NativeEvalOptions): Promise<NativeEvalResult> {
    this.calls.push("evaluate");
    await this.#work(this.settings.evalMs, "evaluating");
    const count = rows.rowOffsets.length - 1;
    const sequences = rows.sequenceOffsets.length - 1;
    const options = rows.kind === "options";
    return {
      loss: this.settings.evalLoss ?? 0.25,
      accuracy: options ? 1 : null,
      rowLoss: new Float64Array(count).fill(0.25),
      rowTokens: new Uint32Array(count).fill(3),
      prediction: options ? rows.gold.slice() : new Int32Array(0),
      logprobs: options
        ? Float64Array.from({ length: sequences }, (_, i) => -i)
        : new Float64Array(0),
    };
  }

  /** Says `generated` of the settings in turns of the event loop, one token a turn. */
  async generate(
    options: NativeGenerateOptions,
    onEvent: (json: string) => void,
  ): Promise<NativeGenerateResult> {
    this.calls.push("generate");
    this.generated = options;
    const said = this.settings.generated ?? [];
    let newTokens = 0;
    for (let step = 0; step < options.maxNewTokens && !this.#stop; step++) {
      await pause(this.settings.stepMs ?? 0);
      const speaking = said.flatMap((tokens, index) =>
        step < tokens.length && !this.endedSequences.has(index) ? [index] : [],
      );
      if (speaking.length === 0) break;
      const tokens = speaking.map((index) => said[index]?.[step] ?? 0);
      const isLast = (index: number): boolean =>
        step + 1 === said[index]?.length || step + 1 === options.maxNewTokens;
      const ends = speaking.map((index, i) => {
        if (options.eosIds.includes(tokens[i] ?? -1)) return "eos";
        if (options.stopIds.includes(tokens[i] ?? -1)) return "stop";
        return isLast(index) ? "length" : "";
      });
      newTokens += tokens.length;
      onEvent(
        JSON.stringify({ event: "tokens", generation: 1, sequences: speaking, tokens, ends }),
      );
    }
    await this.#work(0, "generating");
    const times = { prefillMs: 1, decodeMs: 1, logits: new Float32Array(0) };
    const promptTokens = options.tokens.length;
    return { promptTokens, newTokens, decodedTokens: newTokens, ...times };
  }
  endSequence(_generation: number, index: number): void {
    this.endedSequences.add(index);
  }

  /** Takes its time, unless stopped. */
  async #work(ms: number | undefined, what: string): Promise<void> {
    const end = performance.now() + (ms ?? 0);
    while (!this.#stop && performance.now() < end) await pause(1);
    const stopped = this.#stop;
    this.#stop = false;
    if (stopped) throw failure("ZO2_ABORTED", `stopped while ${what}`);
  }

  async replay(journal: string): Promise<number> {
    this.calls.push(`replay ${journal}`);
    await this.#work(this.settings.replayMs, "replaying");
    return readFileSync(journal, "utf8").split("\n").length - 2;
  }
  async exportTo(dir: string): Promise<void> {
    this.calls.push("exportTo");
    mkdirSync(dir, { recursive: true });
    if (existsSync(join(dir, "config.json"))) {
      throw failure("ZO2_INVALID_CONFIG", `${dir} holds a config.json already`);
    }
    this.foundByExport = readdirSync(dir).sort();
    this.settings.onExport?.();
    if (this.settings.failExport) {
      writeFileSync(join(dir, "model.safetensors.partial"), "");
      throw this.settings.failExport;
    }
    writeFileSync(join(dir, "config.json"), "{}");
  }
  async writePrefix(tokens: number, seed: number, dir: string): Promise<void> {
    this.calls.push(`writePrefix ${tokens} ${seed} ${dir}`);
  }
  async logits(): Promise<Float32Array> {
    return new Float32Array(0);
  }
  async tensor(): Promise<Float32Array> {
    return new Float32Array(0);
  }
  stop(): void {
    this.#stop = true;
    this.answerScore(null, "stopped while the objective was being computed");
  }
  answerScore(scores: Float64Array | null, error: string | null): void {
    this.#answer?.(scores, error);
    this.#answer = undefined;
  }
  async close(): Promise<void> {
    this.calls.push("close");
    this.closed = true;
  }
}

function stepEvent(step: number, loss: number, { learningRate }: NativeTrainOptions): object {
  const losses = { lossPlus: loss + 0.1, lossMinus: loss - 0.1, loss };
  const gradient = { projectedGrad: 100, projectedGrads: [100] };
  const rest = { learningRate, skipped: false, saturated: 0, elapsedMs: 1, tokens: 8 };
  const traffic = { uploadBytes: 0, offloadBytes: 0, diskReadBytes: 0, diskWriteBytes: 0 };
  return { event: "step", step, seed: 7 * step, ...losses, ...gradient, ...rest, ...traffic };
}

/** A runtime that makes fake engines, and the engines that it has made. */
export function fakeRuntime(
  settings: FakeSettings = {},
): Runtime & { engines: FakeEngine[]; metadata: Record<string, unknown> } {
  const engines: FakeEngine[] = [];
  const metadata: Record<string, unknown> = {};
  return {
    engines,
    metadata,
    createEngine() {
      const engine = new FakeEngine(settings);
      engines.push(engine);
      return engine;
    },
    ggufMetadata: () => metadata,
  };
}
