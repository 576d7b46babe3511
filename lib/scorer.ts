// A run's objective: what the engine is told of it, and the numbers that it asks for.
import type { ResolvedTrainConfig } from "./config/types.js";
import type { LoadedData } from "./data/load.js";
import { promptOf, requireRoom } from "./evaluation/answering.js";
import { endIds } from "./generation/ends.js";
import { textOf } from "./generation/text.js";
import { limitsFor, type OpenModel } from "./model.js";
import { namedObjective } from "./named-objective.js";
import type { NativeScoreEvent, NativeTrainOptions } from "./native.js";
import { type Objective, scoreStep, textSettings } from "./objective.js";
import type { AnswerSettings, Task } from "./tasks/task.js";

export type ScorerOptions = Pick<NativeTrainOptions, "customObjective" | "identity" | "texts">;

export class Scorer {
  private constructor(
    private readonly objective: Objective,
    private readonly train: LoadedData,
    private readonly model: OpenModel,
    private readonly settings: AnswerSettings | undefined,
  ) {}

  /** Undefined: the task's loss is minimised. @throws Zo2Error ZO2_INVALID_CONFIG */
  static make(
    { objective: name, data }: ResolvedTrainConfig,
    given: Objective | undefined,
    task: Task,
    train: LoadedData,
    model: OpenModel,
  ): Scorer | undefined {
    const objective = name === "loss" ? given : namedObjective(name, train.examples);
    if (!objective) return undefined;
    const settings = textSettings(objective, task);
    if (settings) requireRoom(limitsFor(model.info, data.maxLength), settings);
    return new Scorer(objective, train, model, settings);
  }

  /** Of the engine's options. */
  async options(): Promise<ScorerOptions> {
    const { maximize = false } = this.objective;
    const identity = { objective: { maximize, ...this.settings } };
    if (!this.settings) return { customObjective: true, identity };
    const { maxNewTokens } = this.settings;
    const [eosIds, stopIds] = await Promise.all([endIds(this.model), this.#stopIds()]);
    const texts = {
      maxNewTokens,
      eosIds: Int32Array.from(eosIds),
      stopIds: Int32Array.from(stopIds),
    };
    return { customObjective: true, identity, texts };
  }

  /** [branch][row]. @throws what the objective throws; the signal's reason */
  async scores(event: NativeScoreEvent, signal: AbortSignal): Promise<Float64Array> {
    let abandon = (): void => undefined;
    try {
      signal.throwIfAborted();
      const abandoned = new Promise<never>((_, reject) => {
        abandon = () => reject(signal.reason);
        signal.addEventListener("abort", abandon, { once: true });
      });
      const { source } = this.train;
      const data = {
        source,
        textOf: (index: number, ids: readonly number[]) => this.#text(index, ids),
      };
      return await Promise.race([scoreStep(this.objective, event, data, signal), abandoned]);
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  /** Where the stop string is one token, nothing is written behind it. */
  async #stopIds(): Promise<number[]> {
    const stop = this.settings?.stop ?? "";
    if (stop === "") return [];
    const [ids = []] = await (await this.model.encoder()).encode([stop]);
    return ids.length === 1 ? ids : [];
  }

  async #text(index: number, ids: readonly number[]): Promise<string> {
    const encoder = await this.model.encoder();
    const stop = this.settings?.stop ?? "";
    return textOf(promptOf(this.train.rows, index), ids, stop === "" ? [] : [stop], (lists) =>
      encoder.decode(lists),
    );
  }
}
