// zo2 train
import { trainFlags } from "../config/flags.js";
import type { TrainConfig } from "../config/types.js";
import type { TrainEvent, TrainResult } from "../events.js";
import { Trainer } from "../trainer.js";
import { Downloads } from "./downloads.js";
import { interrupted, listenForInterrupts, resumeCommand } from "./interrupt.js";
import { dataNotes } from "./notes.js";
import { type Output, shares, short } from "./output.js";
import { Progress } from "./progress.js";
import { type Given, gather } from "./settings.js";

function show(
  event: TrainEvent,
  { progress, downloads }: { progress: Progress; downloads: Downloads },
  output: Output,
): void {
  output.object(event);
  if (event.event === "step") {
    progress.step(event);
    const projection = progress.traffic.projection(progress.steps);
    if (projection !== undefined) {
      progress.clear();
      output.note(projection);
    }
    return;
  }
  if (event.event === "checkpoint") return; // people have nothing to do about it
  if (event.event === "download") {
    downloads.show(event);
    return;
  }
  progress.clear();
  if (event.event === "data") {
    for (const note of dataNotes(event.role, event)) output.note(note);
  } else if (event.event === "start") {
    for (const note of event.notes) output.note(note);
    if (event.resumedFrom > 0) {
      const from = event.replayedFrom > 0 ? `a snapshot of step ${event.replayedFrom}` : "the base";
      output.note(`resuming after step ${event.resumedFrom}, from ${from}`);
    }
  } else {
    output.note(`step ${event.step}: evaluation loss ${short(event.loss)}${shares(event, "  ")}`);
  }
}

/**
 * @param written what the disk was written
 * @param command goes on with the run
 */
function conclude(
  result: TrainResult,
  { written, command }: { written: string | undefined; command: string },
  output: Output,
): void {
  const { step, stopped, evaluation, lossBefore, firstLoss, lastLoss, saturated } = result;
  output.object({
    event: "done",
    ...result,
    accuracy: evaluation?.accuracy ?? null,
    ...(evaluation &&
      evaluation.f1 !== null && { f1: evaluation.f1, exactMatch: evaluation.exactMatch }),
    ...(stopped && { resume: command }),
  });
  output.text(
    `${stopped ? "stopped after" : "done:"} ${step} steps, ` +
      `training loss ${short(firstLoss)} -> ${short(lastLoss)}`,
  );
  if (evaluation) {
    const before = lossBefore === null ? "" : `${short(lossBefore)} -> `;
    output.text(`evaluation loss ${before}${short(evaluation.loss)}${shares(evaluation, ", ")}`);
  }
  if (saturated > 0) {
    output.note(
      `weights met the end of their 8-bit grid ${saturated} times and stayed there; ` +
        `if that is many for ${step} steps, use storage "bf16+8"`,
    );
  }
  if (written !== undefined) output.note(written);
  const curves = result.report === null ? "" : ", its curves in report.html";
  if (step > 0) output.text(`run in ${result.output}${curves}`);
  if (stopped) output.note(`Everything is saved. To resume:\n  ${command}`);
}

/** @returns exit code */
export async function trainCommand(given: Given, output: Output): Promise<number> {
  // What is gathered is unchecked; the trainer checks it.
  const config = (await gather(trainFlags, given)) as unknown as TrainConfig;
  let progress: Progress | undefined;
  let loading = true;
  const downloads = new Downloads(output);
  const trainer = new Trainer(config, {
    onEvent: (event) => {
      loading &&= event.event !== "start";
      progress ??= new Progress(trainer.config.steps);
      show(event, { progress, downloads }, output);
    },
  });
  const interrupts = listenForInterrupts(() => {
    progress?.clear();
    const when = loading ? "stopping, while loading" : "stopping at the end of this step";
    output.note(`${when}; Ctrl-C again ends at once`);
    void trainer.stop();
  });
  try {
    const result = await trainer.result;
    progress?.clear();
    const command = resumeCommand(process.argv, trainer.config.resume);
    conclude(result, { written: progress?.traffic.total(), command }, output);
    return interrupts.seen ? interrupted : 0;
  } catch (error) {
    progress?.clear();
    throw error;
  } finally {
    interrupts.release();
    await trainer.close();
  }
}
