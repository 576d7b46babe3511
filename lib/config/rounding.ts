// How a schedule rounds weights, with nothing left open: what the engine is told and runs are compared by.
import type { ResolvedSchedule } from "./types.js";

export interface Rounding {
  roundEvery: number;
  rounding: ResolvedSchedule["rounding"];
}

/** With "auto" on disk: writes are rare enough then not to bound a step, and noise is drawn 1.5 times more. */
const roundEveryOnDisk = 4;

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

export function roundingOf(schedule: ResolvedSchedule): Rounding {
  // f32 holds every step as computed: there is nothing to round.
  if (schedule.storage === "f32") return { roundEvery: 1, rounding: "stochastic" };
  return { roundEvery: writeEveryOf(schedule), rounding: schedule.rounding };
}
