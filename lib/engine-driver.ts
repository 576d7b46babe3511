// Drives the engine through one run: reads rows, answers its events, keeps config.json and
// metrics.ndjson, and decides what the run rejects with.
import type { ResolvedTrainConfig } from "./config/types.js";
import { fromNative, messageOf, Zo2Error } from "./errors.js";
import { evaluateLoaded } from "./evaluation.js";
import { canStop, engineEvaluation, evaluationOf, nextStop } from "./evaluation/in-training.js";
import type { EvaluationEvent, TrainEvent, TrainResult, TrainStep } from "./events.js";
import type { HubOptions } from "./hub/snapshot.js";
import { Metrics } from "./metrics.js";
import { locateModel, type OpenModel, openModel, trainedOf } from "./model.js";
import type {
  NativeEvalEvent,
  NativeEvent,
  NativeScoreEvent,
  NativeTrainResult,
} from "./native.js";
import { makePrefix } from "./real-prefix.js";
import { RecentLosses } from "./recent-losses.js";
import { writeReport } from "./report.js";
import { checkLength, findRun, runFiles, saveConfig } from "./run-directory.js";
import type { Runtime } from "./runtime.js";
import { Scorer, type ScorerOptions } from "./scorer.js";
import { taskOf } from "./tasks/registry.js";
import { nativeTrainOptions } from "./train-options.js";
import { loadTrainingRows, locateTrainingRows, type TrainingData } from "./training-data.js";
import type { TrainerOptions } from "./training-run.js";
import { UserCode } from "./user-code.js";

export interface DriverHooks {
  /** Everything is read; the engine is about to take steps. */
  onTraining(): void;
  onStep(step: TrainStep): void;
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export class EngineDriver {
  #model: OpenModel | undefined;
  /** Fired by stop() and by a failure: nothing is begun any more. */
  readonly #ending = new AbortController();
  /** The engine takes steps or evaluates. At other times a stop would hit what it does next. */
  #isWorking = false;
  #isScoring = false;
  readonly #user = new UserCode(() => {
    this.#end();
    this.#stopWork();
  });
  /** Ends a pending objective: the training is over without it. */
  readonly #scoring = new AbortController();
  #scorer: Scorer | undefined;
  readonly #losses = new RecentLosses();
  readonly #metrics: Metrics;
  #resumedFrom = 0;
  #hasStarted = false;
  #evaluation: EvaluationEvent | undefined;
  #lossBefore: number | null = null;

  constructor(
    private readonly config: ResolvedTrainConfig,
    private readonly options: TrainerOptions,
    readonly runtime: Runtime,
    private readonly hooks: DriverHooks,
  ) {
    this.#metrics = new Metrics(runFiles(config.output).metrics);
  }

  /** Tells of what is fetched from the Hub. */
  get hub(): Pick<HubOptions, "onDownload"> {
    return { onDownload: (event) => this.#tell(event) };
  }

  /** The model with the run's weights; only after run() has resolved. */
  get model(): OpenModel {
    if (this.#model) return this.#model;
    throw new Zo2Error(
      "ZO2_CLOSED",
      "the run was stopped before it had its weights; start it again, or give its directory to " +
        "evaluate() or exportModel()",
    );
  }

  /** At the next step boundary; loading and evaluations are given up, and none is begun. */
  stop(): void {
    this.#end();
    // The engine would give up a step that waits for an objective; it is stopped when it has it.
    if (!this.#isScoring) this.#stopWork();
  }

  /** As stop(), and an objective that is being computed is not waited for. */
  cancel(): void {
    this.stop();
    const message = "the trainer was closed while its objective was being computed";
    this.#scoring.abort(new Zo2Error("ZO2_CLOSED", message));
  }

  async close(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    await model?.engine.close();
  }

  async run(): Promise<TrainResult> {
    const { signal } = this.options;
    const onAbort = (): void => {
      this.#user.fail(signal?.reason);
      this.#scoring.abort(signal?.reason);
    };
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const result = await this.#train();
      // Not after stop() or close(), which a callback may itself be waiting for.
      await Promise.race([this.#user.settled(), untilAborted(this.#ending.signal)]);
      this.#user.throwIfFailed();
      return { ...result, report: await this.#report() };
    } catch (error) {
      this.#user.throwIfFailed();
      throw fromNative(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#metrics.close();
    }
  }

  async #train(): Promise<Omit<TrainResult, "report">> {
    const data = await this.#prepare();
    const objective = data && this.#model && (await this.#scoreBy(this.#model, data));
    this.#user.throwIfFailed();
    // From here to the engine's start nothing is waited for: a stop() in between would be lost.
    if (data && objective && this.#model && !this.#ending.signal.aborted) {
      return this.#takeSteps(this.#model, data, objective);
    }
    // No journal was opened, and no record applied: the weights at hand are not the run's.
    await this.close();
    return this.#result({ step: this.#resumedFrom, stopped: true, saturated: 0 });
  }

  /** Reads everything, and evaluates a run that has no steps yet; undefined when ended before. */
  async #prepare(): Promise<TrainingData | undefined> {
    const { config } = this;
    const { signal } = this.#ending;
    this.#user.throwIfFailed();
    try {
      const parts = await locateTrainingRows(config.data, { signal, ...this.hub });
      const path = await locateModel(config.model, { signal, ...this.hub });
      const found = await findRun(config);
      this.#resumedFrom = found ?? 0;
      if (found === undefined) await makePrefix(this.runtime, path, config, signal);
      const { output } = config;
      const schedule = { ...config.schedule, ...trainedOf(config, output), run: output };
      this.#model = await openModel(this.runtime, path, schedule, signal);
      const { objective } = this.options;
      const tell = (event: TrainEvent): void => this.#tell(event);
      const rows = { objective, signal, tell };
      const data = await loadTrainingRows(this.#model, config, parts, rows);
      // Looked at again: loading took a while, and another process may have begun a run there.
      this.#resumedFrom = (await findRun(config)) ?? 0;
      if (this.#resumedFrom === 0 && config.evalEvery > 0) {
        this.#lossBefore = (await this.#evaluate(data, 0))?.loss ?? null;
      }
      return data;
    } catch (error) {
      if (signal.aborted && fromNative(error).code === "ZO2_ABORTED") return undefined;
      throw error;
    }
  }

  /** What the engine is told of the objective, if there is one. */
  async #scoreBy(model: OpenModel, data: TrainingData): Promise<ScorerOptions> {
    const task = taskOf(this.config.data);
    this.#scorer = Scorer.make(this.config, this.options.objective, task, data.train, model);
    const none = { customObjective: false, identity: { objective: null } };
    return (await this.#scorer?.options()) ?? none;
  }

  async #takeSteps(
    { engine }: OpenModel,
    data: TrainingData,
    objective: ScorerOptions,
  ): Promise<Omit<TrainResult, "report">> {
    this.hooks.onTraining();
    const { steps, evalEvery } = this.config;
    const inStretches = data.needsAnswers && canStop(this.config);
    const engineEvaluates = !data.needsAnswers || (evalEvery > 0 && !inStretches);
    const options = nativeTrainOptions(this.config, {
      trainRows: data.train.rows,
      evalRows: (engineEvaluates && data.eval?.rows) || null,
      ...objective,
    });
    const receive = (json: string): void => this.#receive(json, data);
    let [step, saturated] = [this.#resumedFrom, 0];
    for (;;) {
      const until = inStretches ? nextStop(step, this.config) : steps;
      const resume = this.#hasStarted ? "required" : this.config.resume;
      const ended = await this.#work(() =>
        engine.train({ ...options, steps: until, resume }, receive),
      ).catch((error: unknown) => this.#stoppedWhilePlacing(error));
      this.#user.throwIfFailed();
      if (ended === undefined) {
        // The weights at hand are not the run's.
        await this.close();
        return this.#result({ step, stopped: true, saturated });
      }
      step = ended.step;
      saturated += ended.saturated;
      if (ended.stopped) return this.#result({ step, stopped: true, saturated });
      if (this.#evaluation?.step !== step) await this.#evaluate(data, step);
      this.#user.throwIfFailed();
      const isMeasured = data.eval === undefined || this.#evaluation?.step === step;
      const stopped = !isMeasured || (step < steps && this.#ending.signal.aborted);
      if (stopped || step >= steps) return this.#result({ step, stopped, saturated });
    }
  }

  /** A stop before the engine's first step, while it puts weights where they are to be. */
  #stoppedWhilePlacing(error: unknown): undefined {
    if (this.#ending.signal.aborted && fromNative(error).code === "ZO2_ABORTED") return undefined;
    throw error;
  }

  /** The run is whole without it, so that it may fail. */
  async #report(): Promise<string | null> {
    if (!this.#hasStarted) return null;
    const written = await writeReport({ run: this.config.output }).catch(() => undefined);
    return written?.report ?? null;
  }

  #result({ step, stopped, saturated }: NativeTrainResult): Omit<TrainResult, "report"> {
    const evaluation = stopped ? null : (this.#evaluation ?? null);
    return {
      step,
      stopped,
      resumedFrom: this.#resumedFrom,
      firstLoss: this.#losses.first,
      lastLoss: this.#losses.last,
      lossBefore: this.#lossBefore,
      lossAfter: evaluation?.loss ?? null,
      evaluation,
      saturated,
      output: this.config.output,
    };
  }

  /** Evaluates outside native training: before its first step, and after its last; not once stopped. */
  async #evaluate(data: TrainingData, step: number): Promise<EvaluationEvent | undefined> {
    const { signal } = this.#ending;
    if (!data.eval || signal.aborted) return undefined;
    const started = performance.now();
    const { data: rows, schedule } = this.config;
    const { maxLength } = rows;
    const request = { task: taskOf(rows), maxLength, batchTokens: schedule.evalBatchTokens };
    try {
      const result = await evaluateLoaded(this.model, data.eval, request, signal);
      const event = evaluationOf(result, step, performance.now() - started);
      this.#onEvaluation(event);
      return event;
    } catch (error) {
      if (this.#ending.signal.aborted && fromNative(error).code === "ZO2_ABORTED") return undefined;
      throw error;
    }
  }

  /** What stop() is to end. */
  async #work<T>(task: () => Promise<T>): Promise<T> {
    this.#isWorking = true;
    try {
      return await task();
    } finally {
      this.#isWorking = false;
    }
  }

  #end(): void {
    this.#ending.abort(new Zo2Error("ZO2_ABORTED", "the run was stopped"));
  }

  #stopWork(): void {
    if (this.#isWorking) this.#model?.engine.stop();
  }

  /** An event of the engine; nothing may be thrown into it. */
  #receive(json: string, data: TrainingData): void {
    try {
      const event = JSON.parse(json) as NativeEvent;
      if (event.event === "score") void this.#score(event);
      else if (event.event === "eval") this.#onEngineEvaluation(event, data);
      else if (event.event === "step") this.#onStep(event);
      else if (event.event === "checkpoint") this.#tell(event);
      else if (!this.#hasStarted) {
        this.#hasStarted = true;
        // The run directory is locked now, and its journal belongs to this configuration.
        this.#resumedFrom = event.resumedFrom;
        checkLength(this.config, event.resumedFrom);
        saveConfig(this.config);
        this.#metrics.open(event.resumedFrom > 0);
        this.#tell(event);
      }
    } catch (error) {
      this.#user.fail(error);
    }
  }

  #onStep(step: TrainStep): void {
    this.#losses.add(step.loss);
    this.#metrics.write(step);
    this.hooks.onStep(step);
    this.#user.call(this.options.onStep, step);
    this.#tell(step);
  }

  #onEngineEvaluation(event: NativeEvalEvent, data: TrainingData): void {
    // After the last step it is made here.
    if (data.needsAnswers && event.step === this.config.steps) return;
    this.#onEvaluation(engineEvaluation(event, data.eval));
  }

  #onEvaluation(event: EvaluationEvent): void {
    this.#evaluation = event;
    this.#metrics.write(event);
    this.#tell(event);
  }

  #tell(event: TrainEvent): void {
    this.#user.call(this.options.onEvent, event);
  }

  async #score(event: NativeScoreEvent): Promise<void> {
    const engine = this.#model?.engine;
    this.#isScoring = true;
    try {
      const scores = await this.#scorer?.scores(event, this.#scoring.signal);
      engine?.answerScore(scores ?? null, scores ? null : "there is no objective");
    } catch (reason) {
      this.#user.fail(reason);
      engine?.answerScore(null, messageOf(reason));
    } finally {
      this.#isScoring = false;
      if (this.#ending.signal.aborted) this.#stopWork();
    }
  }
}
