// Run by teardown.test.ts: ends a process or a worker while the engine is at work, in the way argv names.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread, Worker } from "node:worker_threads";
import { native } from "../../dist/native.js";

const mode = process.argv[2] ?? "worker";

async function train(): Promise<void> {
  const engine = new native.Engine();
  const path = join("test", "fixtures", "models", "opt-tied");
  await engine.load({ path, storage: "f32", threads: 2, isa: "auto", extentBytes: 1 << 20 });
  const trainRows = {
    kind: "lm" as const,
    tokens: Int32Array.from({ length: 40 }, (_, i) => (i * 37) % 200),
    sequenceOffsets: Uint32Array.of(0, 40),
    labelStart: Uint32Array.of(1),
    rowOffsets: Uint32Array.of(0, 1),
    gold: Int32Array.of(-1),
  };
  await engine.train(
    {
      output: mkdtempSync(join(tmpdir(), "zo2-teardown-")),
      resume: "auto",
      steps: 1_000_000,
      batchSize: 1,
      seed: 0,
      learningRate: 1e-6,
      schedule: "constant",
      warmupSteps: 0,
      minLearningRateRatio: 0,
      weightDecay: 0,
      epsilon: 1e-3,
      directions: 1,
      distribution: "gaussian",
      clip: 0,
      maxSkipped: 5,
      roundEvery: 1,
      rounding: "stochastic",
      evalEvery: 0,
      trainRows,
      evalRows: null,
      evalBatchTokens: 4096,
      customObjective: mode === "exit-while-asked",
      identity: {},
    },
    (json) => {
      const event = JSON.parse(json) as { event: string; step: number };
      if (event.event === "score") setTimeout(() => process.exit(7), 10);
      if (event.event !== "step" || event.step < 20) return;
      if (mode === "exit") process.exit(7);
      // A callback that throws null: what node-addon-api itself would abort on.
      if (mode === "throw") throw null as unknown as Error;
    },
  );
  process.exitCode = 7;
}

if (isMainThread && mode === "worker") {
  const worker = new Worker(new URL(import.meta.url));
  await new Promise((resolve) => setTimeout(resolve, 500));
  await worker.terminate();
  process.exitCode = 7;
} else if (mode === "collect") {
  for (let i = 0; i < 20; i++) new native.Engine();
  (globalThis as { gc?: () => void }).gc?.();
  process.exitCode = 7;
} else {
  await train();
}
