// stop() ends whatever the addon's engine does next, and nothing after it.
import { join } from "node:path";
import t from "tap";
import { native } from "../../dist/native.js";
import { modelPath } from "../golden/models.js";
import { someLmRows, trainAndExport } from "../oracle/runs.js";

t.test("stop() ends load, replay and evaluate", async (t) => {
  const dir = t.testdir();
  const path = modelPath("opt-tied", "");
  const rows = someLmRows(1, 9, 203);
  const made = await trainAndExport(path, dir, rows, {});
  await made.engine.close();
  const engine = new native.Engine();
  t.teardown(() => engine.close());
  const code = "ZO2_ABORTED";
  const options = { path, storage: "f32", threads: 2, isa: "auto", extentBytes: 1 << 20 } as const;
  engine.stop();
  await t.rejects(engine.load(options), { code });
  await t.rejects(engine.replay(made.journal), { code: "ZO2_BUSY" }, "no model is loaded then");
  await engine.load(options);
  engine.stop();
  await t.rejects(engine.replay(made.journal), { code });
  t.equal(await engine.replay(made.journal), 20, "from the start again");
  engine.stop();
  await t.rejects(engine.evaluate({ rows, batchTokens: 4096 }), { code });
  const { loss } = await engine.evaluate({ rows, batchTokens: 4096 });
  await engine.load({ ...options, path: join(dir, "exported") });
  t.equal((await engine.evaluate({ rows, batchTokens: 4096 })).loss, loss, "the same weights");
});
