// zo2 plan: placement, budgets and the simulator behind it. Needs the addon.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { deviceProfiles, plan, shapeNames } from "../../dist/index.js";
import { node } from "../support/command.js";

const gpu = { model: "opt-1.3b", device: "a100-pcie", offload: "host" } as const;

t.test("budgets", async (t) => {
  const { leastMemoryBytes: least } = await plan({ ...gpu, simulate: false });
  const tight = await plan({ ...gpu, memory: least });
  t.ok(tight.devicePeakBytes <= least);
  t.same([tight.residentBlocks, tight.streamedBlocks], [0, 24]);
  t.same(tight.predicted?.violations, [], "the schedule has no races");
  t.ok((tight.predicted?.deviceTouchedBytes ?? 0) <= tight.devicePeakBytes, "touched <= planned");
  t.ok((tight.predicted?.hostTouchedBytes ?? 0) <= tight.hostPeakBytes);
  t.ok(tight.hostPeakBytes <= 1.02 * tight.weightBytes);
  await t.rejects(plan({ ...gpu, memory: least - 1 }), {
    code: "ZO2_OUT_OF_MEMORY",
    message: new RegExp(`the least that works .* is ${least};`),
  });
  const roomy = await plan({ ...gpu, offload: "auto", memory: "2GB" });
  t.ok(roomy.residentBlocks > 0 && roomy.streamedBlocks > 0);
  t.ok(roomy.devicePeakBytes <= 2e9);
  t.ok(roomy.uploadBytesPerStep < tight.uploadBytesPerStep);
  const rare = { ...gpu, memory: "2GB", roundEvery: 1000 } as const;
  t.equal((await plan({ ...rare, simulate: false })).predicted, null);
  await t.rejects(plan(rare), { code: "ZO2_INVALID_CONFIG", message: /roundEvery is 1000; up to/ });
  const huge = { ...gpu, model: "llama-3-8b", length: 8192, batch: 2 ** 18, simulate: false };
  await t.rejects(plan(huge), {
    code: "ZO2_INVALID_CONFIG",
    message: /batch times length is 2147483648 tokens/,
  });
  const all = await plan({ ...gpu, offload: "none" });
  t.match(all, { streamedBlocks: 0, uploadBytesPerStep: 0, slots: 0 });
});

t.test("what slots leave of a budget, layers have", async (t) => {
  const small = {
    ...gpu,
    model: "opt-125m",
    storage: "f32",
    length: 128,
    simulate: false,
  } as const;
  const layer = 4 * 12 * 768 * 768; // bytes of its matrices
  for (const memory of [120e6, 250e6, 400e6]) {
    const { devicePeakBytes, residentBlocks } = await plan({ ...small, memory });
    t.ok(residentBlocks >= 1, `${memory}: ${residentBlocks}`);
    t.ok(devicePeakBytes <= memory && memory - devicePeakBytes < layer, "no room for another");
  }
  const one = await plan({ ...small, memory: 400e6, placement: 1 });
  t.match(one, { residentBlocks: 1, streamedBlocks: 11 });
});

t.test("what a GPU has is the budget, where none is given", async (t) => {
  const card = { model: "opt-13b", device: "rtx-4090", simulate: false } as const;
  const made = await plan(card);
  t.ok(made.devicePeakBytes <= 23.5e9 && made.residentBlocks > 30 && made.streamedBlocks > 0);
  await t.rejects(plan({ ...card, memory: "30GB" }), {
    code: "ZO2_INVALID_CONFIG",
    message: /memory is 30000000000 bytes, but device "rtx-4090" has 24000000000/,
  });
  const none = { ...card, model: "opt-125m", offload: "none" } as const;
  const { leastMemoryBytes, devicePeakBytes } = await plan(none);
  t.equal(leastMemoryBytes, devicePeakBytes);
  const code = "ZO2_OUT_OF_MEMORY";
  await t.rejects(plan({ ...none, memory: "10MB" }), {
    code,
    message: new RegExp(`^memory is 10000000 .* is ${leastMemoryBytes}; .*smaller batch or length`),
  });
  await t.rejects(plan({ ...card, model: "opt-175b", offload: "host", batch: 64 }), {
    code,
    message: /has 24000000000 bytes, but the least that works is \d+ beside/,
  });
});

t.test("of three tiers, each block is on one", async (t) => {
  for (const hostMemory of [300e6, 1e9, 2e9]) {
    const tiers = { offload: "auto", memory: "1GB", hostMemory, simulate: false } as const;
    const { blocks, hostPeakBytes, diskBytes } = await plan({ ...gpu, ...tiers });
    const homes = new Map<number, Set<string>>();
    for (const { block, home } of blocks)
      homes.set(block, (homes.get(block) ?? new Set()).add(home));
    const several = [...homes].filter(([block, of]) => block > 0 && of.size > 1);
    t.same(several, [], `${hostMemory}`);
    t.ok(diskBytes > 0 && hostPeakBytes > 0);
  }
});

t.test("of qzo the scales alone go back to host memory", async (t) => {
  const qzo = { ...gpu, method: "qzo", storage: "q8" } as const;
  const { weightBytes, offloadBytesPerStep, predicted } = await plan(qzo);
  const share = offloadBytesPerStep / weightBytes;
  t.ok(share > 0.1 && share < 0.13, `an eighth of nine eighths of a byte: ${share}`);
  t.same(predicted?.violations, []);
  t.ok((predicted?.laneBytes.offload ?? 0) < 0.13 * weightBytes);
  await t.rejects(plan({ ...gpu, method: "qzo" }), { message: /storage is "f16", but qzo trains/ });
});

t.test("OPT-175B and OPT-13B beside ZO2", async (t) => {
  const least = async (model: string) =>
    (await plan({ ...gpu, model, simulate: false })).leastMemoryBytes;
  t.ok((await least("opt-175b")) <= 1.6e9, "ZO2: 18.04 GB");
  t.ok((await least("opt-13b")) <= 0.8e9, "ZO2: 6.18 GB");
});

t.test("other schedules are slower", async (t) => {
  const streamed = { ...gpu, device: "h100-pcie" };
  const time = async (ablation: object): Promise<number> =>
    (await plan({ ...streamed, ablation })).predicted?.stepMs ?? 0;
  const ours = await time({});
  for (const ablation of [{ overlap: false }, { deferredUpdate: false }, { reuseSlots: false }]) {
    t.ok((await time(ablation)) > ours, JSON.stringify(ablation));
  }
});

t.test("methods", async (t) => {
  const model = { ...gpu, model: "opt-6.7b", length: 128, storage: "f16" } as const;
  const time = async (of: object): Promise<number> =>
    (await plan({ ...model, ...of })).predicted?.stepMs ?? 0;
  const one = await time({});
  t.ok((await time({ directions: 4 })) <= 1.2 * one, "the link is what takes time");
  t.ok((await time({ method: "lozo", directions: 4 })) <= 1.2 * one);
  const peak = async (of: object): Promise<number> =>
    (await plan({ ...model, ...of, simulate: false })).devicePeakBytes;
  t.equal(await peak({ method: "fzoo" }), await peak({ method: "fzoo", directions: 8 }));
  t.ok((await peak({ method: "fzoo" })) > (await peak({ directions: 4 })), "nine copies of it");
  const code = "ZO2_INVALID_CONFIG";
  await t.rejects(plan({ ...model, rank: 2 }), { code, message: /mezo has no such constant/ });
  await t.rejects(plan({ ...model, method: "fzoo", directions: 1 }), { code, message: /needs 2/ });
});

t.test("shapes and devices", async (t) => {
  for (const model of shapeNames) {
    const { parameters } = await plan({ model, device: "a100-pcie", length: 8, simulate: false });
    const [, billions, unit] = /-([\d.]+)([mb])$/.exec(model) ?? [];
    const named = Number(billions) * (unit === "b" ? 1e9 : 1e6);
    t.ok(Math.abs(parameters / named - 1) < 0.08, `${model}: ${parameters}`);
  }
  for (const profile of deviceProfiles()) {
    const { name, ...figures } = profile;
    for (const [what, { value, source }] of Object.entries(figures)) {
      t.ok(value > 0 && source.length > 3, `${name}: ${what}`);
    }
  }
  const code = "ZO2_INVALID_CONFIG";
  await t.rejects(plan({ ...gpu, device: "abacus" }), { code, message: /one of cpu, / });
  await t.rejects(plan({ ...gpu, length: 4096 }), { code, message: /reads at most 2048/ });
  await t.rejects(plan({ ...gpu, model: "opt-1b" }), {
    code: "ZO2_INVALID_MODEL",
    message: /shapes opt-125m/,
  });
  await t.rejects(plan({ ...gpu, model: "constructor" }), { code: "ZO2_INVALID_MODEL" });
  const two = { ...gpu, headTuning: true, lora: { r: 2 } };
  await t.rejects(plan(two), { code, message: /give one of trainable/ });
  const cwd = process.cwd();
  process.chdir(t.testdir({ "opt-125m": { "config.json": '{"model_type":"abacus"}' } }));
  t.teardown(() => process.chdir(cwd));
  await t.rejects(plan({ ...gpu, model: "opt-125m" }), { message: /abacus/ }, "a path wins");
});

t.test("on the command line", async (t) => {
  const dir = t.testdir();
  const model = join(dir, "model");
  mkdirSync(model);
  writeFileSync(join(model, "config.json"), readFileSync("models/reviews-tiny/config.json"));
  const trace = join(dir, "trace.json");
  const args = ["--model", model, "--batch", "2", "--length", "16", "--storage", "bf16"];
  const more = ["--offload", "disk", "--round-every", "2", "--trace", trace, "--json"];
  const { stdout } = await node("dist/cli/main.js", "plan", ...args, ...more);
  t.match(JSON.parse(stdout), {
    devicePeakBytes: Number,
    hostPeakBytes: Number,
    diskBytes: Number,
    uploadBytesPerStep: Number,
    offloadBytesPerStep: Number,
    residentBlocks: 0,
    streamedBlocks: Number,
    profile: "cpu",
    predicted: { stepMs: Number, tokensPerSecond: Number, bound: String },
  });
  const { traceEvents } = JSON.parse(readFileSync(trace, "utf8")) as { traceEvents: object[] };
  t.ok(traceEvents.length > 10);
  const plain = await node("dist/cli/main.js", "plan", "--model", "opt-125m", "--memory", "120MB");
  t.match(plain.stdout, /least that works.*slots .*predicted .*\(simulated\)/s);
});
