// What a run's weights are kept as: the storage type that is asked for, in the form its method trains.
import { scalesOf } from "./methods.js";
import type { ResolvedTrainConfig, Storage } from "./types.js";

/** "q8s": q8, of which the scales train (docs/storage.md). */
export type StoredAs = Storage | "q8s";

export function storedAs(
  method: Pick<ResolvedTrainConfig["method"], "name">,
  storage: Storage,
): StoredAs {
  return storage === "q8" && scalesOf(method.name) === storage ? "q8s" : storage;
}
