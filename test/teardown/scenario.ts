// Run by teardown.test.ts: ends a process or a worker in the state and in the way that argv names.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { native } from "../../dist/native.js";
import { modelPath } from "../golden/models.js";
import { trainOptions } from "../oracle/runs.js";
import { loadOptions, reach, rows, type State } from "./states.js";

const [way, state] = isMainThread
  ? [process.argv[2] ?? "exit", process.argv[3] as State]
  : ["worker", workerData as State];

// A callback that throws null: what node-addon-api itself would abort on.
async function throwInCallback(): Promise<void> {
  const engine = new native.Engine();
  await engine.load({ ...loadOptions, path: modelPath("opt-tied", "") });
  const folder = process.argv[4] ?? "";
  await engine.train(trainOptions(folder, rows, { steps: 1_000_000 }), () => {
    throw null as unknown as Error;
  });
}

if (!isMainThread) {
  await reach(state);
  parentPort?.postMessage("reached");
} else if (way === "worker") {
  const worker = new Worker(new URL(import.meta.url), { workerData: state });
  await new Promise((resolve) => worker.once("message", resolve));
  await worker.terminate();
  process.exitCode = 7;
} else if (way === "collect") {
  for (let i = 0; i < 20; i++) new native.Engine();
  (globalThis as { gc?: () => void }).gc?.();
  process.exitCode = 7;
} else if (way === "throw") {
  await throwInCallback();
  process.exitCode = 7;
} else {
  await reach(state);
  process.exit(7);
}
