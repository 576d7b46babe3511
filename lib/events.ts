// What a run tells while it goes on, and what it ends with.
import type { DataReport } from "./data/report.js";
import type { DownloadEvent } from "./hub/snapshot.js";
import type {
  NativeCheckpointEvent,
  NativeEvalEvent,
  NativeStartEvent,
  NativeStepEvent,
} from "./native.js";

/** A committed step: its record is durable when this is sent. */
export type TrainStep = NativeStepEvent;

/** An evaluation on `data.eval`; `step` 0 is the model before the first step. */
export interface EvaluationEvent extends NativeEvalEvent {
  /** As in {@link EvaluateResult}; null where there are no texts to compare, or while the engine takes steps. */
  f1: number | null;
  exactMatch: number | null;
}

/** What became of a file of rows. */
export type DataEvent = { event: "data"; role: "train" | "eval" } & DataReport;

/** A snapshot of the weights has become complete. */
export type CheckpointEvent = NativeCheckpointEvent;

/** What is downloaded and data reports come first, then the start, then steps; evaluations may come before the start. */
export type TrainEvent =
  | DownloadEvent
  | DataEvent
  | NativeStartEvent
  | TrainStep
  | EvaluationEvent
  | CheckpointEvent;

/** What {@link train} resolves to. */
export interface TrainResult {
  /** Last committed step. */
  step: number;
  /** True when stop() ended the run before `steps`, or before the evaluation that follows them. */
  stopped: boolean;
  /** Last step that an earlier process had committed; 0 for a new run. */
  resumedFrom: number;
  /** Mean training loss of this process's first and last ten steps; null without steps. */
  firstLoss: number | null;
  lastLoss: number | null;
  /**
   * Loss on `data.eval` before the first step: needs `evalEvery`, and null when an earlier process
   * took the first step.
   */
  lossBefore: number | null;
  /** Loss on `data.eval` after the last step. */
  lossAfter: number | null;
  /** The last evaluation; null without `data.eval` and for a stopped run. */
  evaluation: EvaluationEvent | null;
  /**
   * How often a weight met the end of its grid (storage "q8") in this process's steps and stayed
   * there: its group's scale leaves it no room.
   */
  saturated: number;
  /** Run directory. */
  output: string;
  /** The page of the run ({@link writeReport}); null where it could not be written, and for a run without a start. */
  report: string | null;
}
