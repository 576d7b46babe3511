// How a schedule rounds weights, with nothing left open: what the engine is told and runs are compared by.
import type { ResolvedSchedule } from "./types.js";

export interface Rounding {
  roundEvery: number;
  rounding: ResolvedSchedule["rounding"];
}

export function roundingOf({ storage, roundEvery, rounding }: ResolvedSchedule): Rounding {
  // f32 holds every step as computed: there is nothing to round.
  if (storage === "f32") return { roundEvery: 1, rounding: "stochastic" };
  // Everything is resident: a write costs nothing, so every step is rounded.
  return { roundEvery: roundEvery === "auto" ? 1 : roundEvery, rounding };
}
