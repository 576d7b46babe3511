// One training run of this process, from configuration to result.
//
//   starting ──> running ──> ended ──┐
//       └───────────┴──────> failed ─┴──> closed
//
// starting  model and rows are being read; running  the engine takes steps; ended  all steps are
// done or stop() was called: the engine still holds the tuned weights; failed  `result` has
// rejected, and the engine is gone; closed  close() has been called.
//
//              starting, running      ended           failed          closed
//  stop()      ends it, resolves      resolves        resolves        resolves
//  evaluate()  ZO2_BUSY               works           ZO2_CLOSED      ZO2_CLOSED
//  export()    ZO2_BUSY               works           ZO2_CLOSED      ZO2_CLOSED
//  close()     ends it, resolves      works           resolves        resolves
//  iteration   the steps from now on  nothing         throws reason   nothing
//
// A run that was stopped while it was starting has ended without weights: its evaluate() and
// export() throw ZO2_CLOSED.
import { EngineDriver } from "./engine-driver.js";
import { Broadcast } from "./broadcast.js";
import { invalid } from "./config/problems.js";
import { resolveTrainConfig } from "./config/resolve.js";
import type { JsonRow, ResolvedTrainConfig, TrainConfig } from "./config/types.js";
import { evalPart } from "./data/draw.js";
import { locatePart } from "./data/locate.js";
import { fromNative, Zo2Error } from "./errors.js";
import { type EvaluateResult, evaluateRows } from "./evaluation.js";
import type { TrainEvent, TrainResult, TrainStep } from "./events.js";
import { exportFrom, type Writing } from "./exporter.js";
import { checkObjective, type Objective } from "./objective.js";
import type { Runtime } from "./runtime.js";
import { taskOf } from "./tasks/registry.js";

/** What accompanies a configuration: everything that is not data. */
export interface TrainerOptions {
  /** Ends the training at a step boundary; `result` rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Trained on instead of the task's loss. */
  objective?: Objective | undefined;
  /** Called for every step; what it throws (or rejects with) ends the training. */
  onStep?: ((step: TrainStep) => unknown) | undefined;
  /** Called for everything: data reports, the start, steps, evaluations. As `onStep`. */
  onEvent?: ((event: TrainEvent) => unknown) | undefined;
}

type State = "starting" | "running" | "ended" | "failed" | "closed";

export class TrainingRun implements AsyncIterable<TrainStep>, AsyncDisposable {
  /** The configuration with every default. */
  readonly config: ResolvedTrainConfig;
  /**
   * Resolves when training has ended, rejects when it failed or was aborted. Not looking at it is
   * no unhandled rejection.
   */
  readonly result: Promise<TrainResult>;

  readonly #steps = new Broadcast<TrainStep>();
  readonly #driver: EngineDriver;
  readonly #settled: Promise<void>;
  #state: State = "starting";
  #reason: unknown;
  #closing: Promise<void> | undefined;

  /** @throws Zo2Error ZO2_INVALID_CONFIG */
  constructor(config: TrainConfig, options: TrainerOptions, runtime: Runtime) {
    this.config = resolveTrainConfig(config);
    checkObjective(options.objective);
    for (const name of ["onStep", "onEvent"] as const) {
      if (options[name] !== undefined && typeof options[name] !== "function") {
        throw invalid(`${name} must be a function`);
      }
    }
    this.#driver = new EngineDriver(this.config, options, runtime, {
      onTraining: () => {
        this.#state = "running";
      },
      onStep: (step) => this.#steps.send(step),
    });
    // Begun in a later turn: who attaches in this one misses nothing.
    this.result = Promise.resolve().then(() => this.#run());
    this.#settled = this.result.then(
      () => undefined,
      () => undefined,
    );
  }

  /** The steps committed from now on. Training does not wait for the iterator; break detaches. */
  [Symbol.asyncIterator](): AsyncGenerator<TrainStep, void, undefined> {
    return this.#steps.iterate();
  }

  /**
   * Ends the training at the next step boundary, everything durable, without another evaluation, or
   * its loading at once; resolves when it has ended. `result` then resolves with `stopped: true`. Callbacks may wait for
   * it, an objective may not: the step waits for the objective.
   */
  async stop(): Promise<void> {
    if (this.#state === "starting" || this.#state === "running") this.#driver.stop();
    await this.#settled;
  }

  /**
   * Loss and accuracy of the tuned weights.
   * @param rows file, name of a data set or rows in memory (default: those of `data.eval` or `data.numDev`), of the run's task
   */
  async evaluate(rows?: string | JsonRow[]): Promise<EvaluateResult> {
    this.#require("evaluate()");
    const { data, schedule } = this.config;
    const part = rows === undefined ? evalPart(data) : { source: rows };
    if (part === undefined) throw invalid("data.eval is not set; give evaluate() rows");
    const { maxLength } = data;
    const located = await locatePart(part, this.#driver.hub);
    const given = {
      ...located,
      task: taskOf(data),
      maxLength,
      batchTokens: schedule.evalBatchTokens,
    };
    const compute = async (): Promise<EvaluateResult> => evaluateRows(this.#driver.model, given);
    // A stop() that reached the engine when the training had just ended waits for its next work;
    // nothing else aborts this.
    const again = (error: unknown): Promise<EvaluateResult> => {
      if (fromNative(error).code === "ZO2_ABORTED") return compute();
      throw error;
    };
    try {
      return await compute().catch(again);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Writes the tuned model as a Hugging Face directory; with `lora` or `prefixTuning`
   * those alone, for PEFT.
   * @param dir new or empty directory
   * @param options `mergeAdapter`: the whole model, with LoRA's adapters added to its weights
   * @throws Zo2Error ZO2_INVALID_CONFIG for other directories, ZO2_IO; ZO2_BUSY before the run has
   * ended, ZO2_CLOSED after close() and for a run that has failed
   */
  async export(dir: string, options: Pick<Writing, "mergeAdapter"> = {}): Promise<void> {
    this.#require("export()");
    await exportFrom(this.#driver.model, this.#driver.runtime, dir, options);
  }

  /** Ends the training if need be and frees the model. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #require(what: string): void {
    if (this.#closing || this.#state === "closed") {
      throw new Zo2Error("ZO2_CLOSED", `${what} after close()`);
    }
    if (this.#state === "ended") return;
    if (this.#state === "failed") {
      const cause = this.#reason;
      throw new Zo2Error("ZO2_CLOSED", `${what} is not possible: the run has failed`, { cause });
    }
    const advice = "await its result, or stop() it first";
    throw new Zo2Error("ZO2_BUSY", `${what} while the run is ${this.#state}; ${advice}`);
  }

  async #run(): Promise<TrainResult> {
    try {
      const result = await this.#driver.run();
      this.#state = "ended";
      this.#steps.end();
      return result;
    } catch (reason) {
      this.#state = "failed";
      this.#reason = reason;
      await this.#driver.close().catch(() => undefined);
      this.#steps.fail(reason);
      throw reason;
    }
  }

  async #close(): Promise<void> {
    this.#driver.cancel();
    await this.#settled;
    this.#state = "closed";
    this.#steps.end();
    await this.#driver.close();
  }
}
