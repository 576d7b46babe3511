// What a run's weights are kept as: the storage type that is asked for, in the form its method trains.
import type { ResolvedTrainConfig, Storage } from "./types.js";

/** "q8s": q8, of which the scales train (docs/storage.md). */
export type StoredAs = Storage | "q8s";

export function storedAs(
  method: Pick<ResolvedTrainConfig["method"], "name">,
  storage: Storage,
): StoredAs {
  return method.name === "qzo" ? "q8s" : storage;
}
