// zo2 plan
import { planFlags } from "../config/flags.js";
import { formatSize } from "../config/sizes.js";
import type { PlanConfig } from "../config/plan-types.js";
import { type Plan, plan } from "../plan.js";
import type { Output } from "./output.js";
import { type Given, gather } from "./settings.js";

/** "block 0: disk", "blocks 1-3: device" ...; what comes last may be block 0 again, a tied head. */
function placement({ blocks }: Plan): string[] {
  const lines: string[] = [];
  let first = 0;
  blocks.forEach(({ block, home }, index) => {
    const next = blocks[index + 1];
    if (next?.home === home && next.block === block + 1) return;
    const from = blocks[first]?.block ?? block;
    lines.push(`${from === block ? `block ${block}` : `blocks ${from}-${block}`}: ${home}`);
    first = index + 1;
  });
  return lines;
}

/** Three digits, without an exponent. */
function rounded(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function milliseconds(ms: number): string {
  if (ms < 10_000) return `${rounded(ms)} ms`;
  return ms < 600_000 ? `${rounded(ms / 1000)} s` : `${rounded(ms / 60_000)} min`;
}

function tell(made: Plan, output: Output): void {
  const { predicted, streamedBlocks, residentBlocks } = made;
  const row = (name: string, text: string): void => output.text(`${name.padEnd(12)} ${text}`);
  row(
    "model",
    `${made.model}, ${made.parameters} parameters, ${made.storage}: ${formatSize(made.weightBytes)}`,
  );
  row("batch", `${made.batch} x ${made.length} tokens`);
  row(
    "device",
    `${formatSize(made.devicePeakBytes)} (the least that works: ${formatSize(made.leastMemoryBytes)})`,
  );
  for (const { name, tier, bytes } of made.allocations) {
    output.text(`${"".padEnd(13)}${name} (${tier}): ${formatSize(bytes)}`);
  }
  if (made.profile !== "cpu") {
    output.text(
      `${"".padEnd(13)}beside it, CUDA's own context: a run leaves 0.5 GB of memory to it`,
    );
  }
  row("host", formatSize(made.hostPeakBytes));
  row("disk", formatSize(made.diskBytes));
  row(
    "blocks",
    `${residentBlocks} resident, ${streamedBlocks} streamed; ${placement(made).join(", ")}`,
  );
  if (made.slots > 0) row("slots", `${made.slots} of ${formatSize(made.slotBytes)}`);
  row(
    "a step moves",
    `${formatSize(made.uploadBytesPerStep)} up, ${formatSize(made.offloadBytesPerStep)} down` +
      ` (roundEvery ${made.roundEvery})`,
  );
  if (made.diskWriteBytes > 0) {
    row("writes", `${formatSize(made.diskWriteBytes)} in ${made.steps} steps`);
  }
  row("replay", `${milliseconds(made.replayMsPerStep)} a step (${made.profile})`);
  if (!predicted) return;
  row(
    "predicted",
    `${milliseconds(predicted.stepMs)} a step, ${rounded(predicted.tokensPerSecond)} tokens/s` +
      ` on ${made.profile}, bound by ${predicted.bound} (simulated)`,
  );
  for (const violation of predicted.violations) output.note(violation);
}

/** @returns exit code */
export async function planCommand(given: Given, output: Output): Promise<number> {
  const made = await plan((await gather(planFlags, given)) as unknown as PlanConfig);
  output.object({ event: "done", ...made });
  tell(made, output);
  return made.predicted?.violations.length ? 1 : 0;
}
