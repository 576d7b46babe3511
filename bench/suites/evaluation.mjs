// Evaluation and generation: options of review snippets scored by SmolLM2 beside MeZO's own evaluation loop on
// transformers, and text generated in batches under a budget of a quarter of the model.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { evaluate, generate, plan } from "zo2";
import { Peer } from "../peer.mjs";
import { reviewRows, reviewTask, smolModel } from "../reviews.mjs";
import { digits, median } from "../statistics.mjs";

/** Seconds of all rows: ours with loading the model, the peer's without. */
export async function scoring({ work, model = smolModel, rowCount, rounds, threads, withPeers }) {
  if (!existsSync(model)) return { skipped: "no SmolLM2: run node scripts/fetch-real.mjs" };
  const rows = await reviewRows("train.jsonl", rowCount); // there are not enough others
  const data = join(work, "scored.jsonl");
  await writeFile(data, `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
  const config = { model, data, ...reviewTask, schedule: { threads } };
  const texts = rows.map(({ sentence, label }) => [
    reviewTask.template.replace("{sentence}", sentence),
    label,
  ]);
  const peer = withPeers ? new Peer("mezo.py") : undefined;
  const ours = [];
  const theirs = [];
  const accuracy = {};
  try {
    await peer?.ask({ load: model, threads });
    for (let round = 0; round < rounds; round++) {
      const began = performance.now();
      ({ accuracy: accuracy.zo2 } = await evaluate(config));
      ours.push((performance.now() - began) / 1000);
      if (!peer) continue;
      const answer = await peer.ask({ evaluate: texts, options: reviewTask.options });
      theirs.push(answer.ms / 1000);
      accuracy.peer = answer.accuracy;
    }
  } finally {
    await peer?.close();
  }
  const result = { part: "scoring", rows: rows.length, seconds: digits(median(ours)), accuracy };
  if (!peer) return result;
  return {
    ...result,
    peerSeconds: digits(median(theirs)),
    ratio: digits(median(theirs) / median(ours)),
  };
}

/** Tokens a second while tokens are made: all prompts in one call, and one prompt a call. `share`: of the model in memory. */
export async function generation({
  model = smolModel,
  prompts = 16,
  tokens = 16,
  share = 1 / 4,
  rounds,
  threads,
}) {
  if (!existsSync(model)) return { skipped: "no SmolLM2: run node scripts/fetch-real.mjs" };
  const storage = "f32";
  const { weightBytes } = await plan({ model, storage, simulate: false });
  const memory = Math.floor(share * weightBytes);
  const texts = (await reviewRows("train.jsonl", prompts)).map(({ sentence }) =>
    reviewTask.template.replace("{sentence}", sentence),
  );
  const rate = async (some) => {
    let times;
    const schedule = { threads, storage, memory, offload: "disk" };
    const onTimes = (measured) => {
      times = measured;
    };
    const config = { model, prompts: some, maxNewTokens: tokens, batchSize: prompts, schedule };
    await generate(config, { onTimes });
    return (1000 * times.decodedTokens) / times.decodeMs;
  };
  const batched = [];
  const single = [];
  for (let round = 0; round < rounds; round++) {
    batched.push(await rate(texts));
    single.push(await rate(texts.slice(round % prompts, (round % prompts) + 1)));
  }
  return {
    part: "generation",
    prompts,
    newTokens: tokens,
    weightBytes,
    memory,
    tokensPerSecond: digits(median(batched)),
    oneByOne: digits(median(single)),
    ratio: digits(median(batched) / median(single)),
  };
}
