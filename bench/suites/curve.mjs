// Accuracy on held-out reviews against time: SmolLM2 learns from review snippets for an hour.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { evaluate, Trainer } from "zo2";
import { bestThreshold, thresholdAccuracy } from "../../dist/examples/threshold.js";
import { reviews, reviewTask as task, smolModel } from "../reviews.mjs";
import { digits } from "../statistics.mjs";

// Those of PyTorch's MeZO on the same task, so that the curves can be laid beside each other.
const method = { learningRate: 1.5e-5, epsilon: 1e-3 };
const batchSize = 16;

/** Loss and accuracy, as the model comes and with the threshold between the answers that fits best. */
function point({ loss, accuracy, rows }) {
  const margins = rows.map(({ logprobs, label }) => ({
    margin: logprobs[1] - logprobs[0],
    good: label === 1,
  }));
  const calibrated = thresholdAccuracy(margins, bestThreshold(margins));
  return {
    loss: digits(loss, 4),
    accuracy: digits(accuracy, 4),
    calibrated: digits(calibrated, 4),
  };
}

/** Trains until `minutes` have passed, everything included, and evaluates every so many steps. */
export async function curve({ work, model, minutes, every, threads }) {
  const path = model ?? smolModel;
  if (!existsSync(path)) return { skipped: "no SmolLM2: run node scripts/fetch-real.mjs" };
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 60_000;
  const before = await evaluate({ model: path, data: reviews("dev.jsonl"), ...task });
  const points = [{ step: 0, minutes: 0, ...point(before) }];
  for (let steps = every; elapsed() < minutes; steps += every) {
    const data = { train: reviews("train.jsonl"), ...task };
    const schedule = { threads, checkpointEvery: every };
    const trainer = new Trainer({
      model: path,
      data,
      method,
      batchSize,
      steps,
      schedule,
      output: join(work, "run"),
    });
    try {
      await trainer.result;
      const at = digits(elapsed());
      const after = await trainer.evaluate(reviews("dev.jsonl"));
      points.push({ step: steps, minutes: at, ...point(after) });
    } finally {
      await trainer.close();
    }
    console.error(JSON.stringify(points.at(-1)));
  }
  const rows = before.rows.length;
  return { model: model ?? "SmolLM2-135M", ...method, batchSize, rows, points };
}
