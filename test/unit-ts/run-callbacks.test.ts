// Callbacks and objectives of a run that throw, reject, never end, or wait for the run themselves.
import { join } from "node:path";
import t from "tap";
import type { TrainEvent } from "zo2";
import type { TrainerOptions } from "../../dist/training-run.js";
import { asked, pause, place, start } from "../support/runs.js";

process.on("unhandledRejection", (reason) => t.fail(`unhandled rejection: ${String(reason)}`));

t.test("callbacks may wait for the end", async (t) => {
  for (const how of ["stop", "close"] as const) {
    for (const name of ["onStep", "onEvent"] as const) {
      const late: string[] = [];
      const { run } = start(
        { ...place(t), steps: 1000, output: join(t.testdirName, how + name) },
        {
          [name]: async ({ event }: TrainEvent) => {
            if (event !== "step") return;
            await run[how]();
            late.push(how);
            throw new Error("after the end: nobody is there to hear it");
          },
        },
      );
      t.match(await run.result, { stopped: true }, `${name} waits for ${how}()`);
      await run.close();
      await pause(5);
      t.ok(late.length > 0);
    }
  }
  const pending = start(place(t), { onStep: () => new Promise(() => undefined) });
  await asked(pending.runtime, "train");
  await pause(50);
  await pending.run.stop();
  t.match(await pending.run.result, { step: 5, stopped: false }, "a callback that never ends");
  await pending.run.close();
});

t.test("a callback that never ends keeps neither an abort nor another's failure", async (t) => {
  const never = (): Promise<never> => new Promise(() => undefined);
  const controller = new AbortController();
  const { run, runtime } = start(place(t), { onStep: never, signal: controller.signal });
  await asked(runtime, "train");
  await pause(50);
  controller.abort("enough");
  t.equal(await run.result.catch((reason: unknown) => reason), "enough");
  const failing = start(
    { ...place(t), output: join(t.testdirName, "failing") },
    {
      onStep: never,
      onEvent: async ({ event }) => {
        await pause(50);
        if (event === "step") throw new Error("mine");
      },
    },
  );
  await t.rejects(failing.run.result, { message: "mine" });
});

t.test("what callbacks throw ends the run", async (t) => {
  for (const thrown of [new Error("mine"), null, undefined, "text"]) {
    const throwing = start(
      { ...place(t), steps: 1000 },
      {
        onStep: () => {
          throw thrown;
        },
      },
    );
    const reason = throwing.run.result.then(
      () => "resolved",
      (r: unknown) => ({ r }),
    );
    t.same(await reason, { r: thrown }, `thrown: ${String(thrown)}`);
  }
  const rejecting = start({ ...place(t), steps: 1000 }, { onStep: () => Promise.reject(null) });
  t.equal(await rejecting.run.result.catch((r: unknown) => r), null);
  // A promise of another library.
  // oxlint-disable-next-line no-thenable
  const thenable = { then: (_: unknown, reject: (reason: unknown) => void) => reject("theirs") };
  const foreign = start({ ...place(t), steps: 1000 }, { onEvent: () => thenable });
  t.equal(await foreign.run.result.catch((r: unknown) => r), "theirs");
  const late = start(place(t), {
    onStep: async () => {
      await new Promise((done) => setTimeout(done, 30));
      throw new Error("late");
    },
  });
  await t.rejects(late.run.result, { message: "late" }, "pending callbacks are waited for");
});

t.test("custom objectives", async (t) => {
  const seen: unknown[] = [];
  const { run, runtime } = start(
    { ...place(t), steps: 1 },
    {
      objective: {
        needs: "logprobs",
        maximize: true,
        async score(rows) {
          seen.push(...rows);
          return rows.map(({ logprobs }) => logprobs[0] ?? 0);
        },
      },
    },
  );
  for await (const { loss } of run) t.equal(loss, 1.5, "mean of -(-1) and -(-2)");
  t.match(seen[1], { row: { input_ids: [4, 5] }, index: 1, logprobs: [-1, -3] });
  const { customObjective, identity } = runtime.engines[0]?.trained ?? {};
  t.match(
    { customObjective, identity },
    {
      customObjective: true,
      identity: { objective: { maximize: true } },
    },
  );
  await run.close();

  const failing = (score: () => unknown): Promise<unknown> => {
    const objective = { needs: "logprobs", score } as unknown as TrainerOptions["objective"];
    return start({ ...place(t), steps: 9 }, { objective }).run.result.then(
      () => "resolved",
      (reason: unknown) => reason,
    );
  };
  const code = "ZO2_INVALID_DATA";
  t.equal(
    await failing(() => {
      throw null;
    }),
    null,
  );
  t.equal(await failing(() => Promise.reject(undefined)), undefined);
  t.match(await failing(() => ["1", 2]), { code, message: /"1" for row 0/ });
  t.match(await failing(() => [1]), { code, message: /1 values for 2 rows/ });
  t.match(await failing(() => 3), { code, message: /instead of a list/ });
  t.throws(() => start(place(t), { objective: { needs: "text" } as never }), /score must be/);
});

t.test("stop waits for the objective of the step", async (t) => {
  const slow = {
    needs: "logprobs" as const,
    score: async (rows: unknown[]): Promise<number[]> => {
      await new Promise((done) => setTimeout(done, 30));
      return rows.map(() => 1);
    },
  };
  const { run } = start({ ...place(t), steps: 100 }, { objective: slow });
  for await (const { step } of run) {
    if (step === 1) setTimeout(() => void run.stop(), 10);
  }
  t.match(await run.result, { step: 2, stopped: true });
  await run.close();
});

t.test("an aborted objective is not asked again", async (t) => {
  const controller = new AbortController();
  let calls = 0;
  const score = async (rows: unknown[]): Promise<number[]> => {
    calls += 1;
    controller.abort("enough");
    return rows.map(() => 1);
  };
  const { run } = start(place(t), {
    objective: { needs: "logprobs", score },
    signal: controller.signal,
  });
  t.equal(await run.result.catch((reason: unknown) => reason), "enough");
  await pause(5);
  t.equal(calls, 1, "not for the second branch");
});

t.test("an objective that never answers", async (t) => {
  const hanging = {
    needs: "logprobs" as const,
    score: () => new Promise<number[]>(() => undefined),
  };
  const closed = start(place(t), { objective: hanging });
  await new Promise((done) => setTimeout(done, 50));
  await closed.run.close();
  await t.rejects(closed.run.result, { code: "ZO2_CLOSED" });
  const controller = new AbortController();
  const aborted = start(place(t), { objective: hanging, signal: controller.signal });
  setTimeout(() => controller.abort("enough"), 50);
  t.equal(await aborted.run.result.catch((reason: unknown) => reason), "enough");
});
