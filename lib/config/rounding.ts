// How a schedule rounds weights, with nothing left open: what the engine is told and runs are compared by.
import { storedAs } from "./storage.js";
import type { ResolvedSchedule, ResolvedTrainConfig } from "./types.js";

export interface Rounding {
  roundEvery: number;
  rounding: ResolvedSchedule["rounding"];
}

/**
 * With "auto" on disk: half the writes, for half a draw of noise more per weight and step. Noise is what a
 * CPU has least of, so more steps between writes cost more time than they save (docs/decisions/0010).
 */
const roundEveryOnDisk = 2;

type Spilling = Pick<ResolvedSchedule, "offload" | "memory" | "roundEvery">;

function maySpill({ offload, memory }: Spilling): boolean {
  return offload === "disk" || (offload === "auto" && memory !== undefined);
}

/** Steps from one write to a slow tier to the next. */
export function writeEveryOf(schedule: Spilling): number {
  const { roundEvery } = schedule;
  if (roundEvery !== "auto") return roundEvery;
  return maySpill(schedule) ? roundEveryOnDisk : 1;
}

export function roundingOf({
  method,
  schedule,
}: Pick<ResolvedTrainConfig, "method" | "schedule">): Rounding {
  // Where what trains is f32, it holds every step as computed: there is nothing to round.
  const isExact = ["f32", "q8s"].includes(storedAs(method, schedule.storage));
  if (isExact) return { roundEvery: 1, rounding: "stochastic" };
  return { roundEvery: writeEveryOf(schedule), rounding: schedule.rounding };
}
