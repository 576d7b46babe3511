// Peak resident memory of a few training steps, of a process that does nothing else, beside the peer's.
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Peer } from "../peer.mjs";
import { configOf, randomModel } from "../random-model.mjs";
import { digits } from "../statistics.mjs";

const program = `
  import { train } from "zo2";
  await train(JSON.parse(process.argv[1]));
  console.log(1024 * process.resourceUsage().maxRSS);
`;

export async function memory({ work, shape, length, threads, withPeers }) {
  const model = await randomModel(work, shape);
  const ids = Array.from({ length: length + 1 }, (_, i) => (i * 7919) % configOf(shape).vocab_size);
  const data = join(work, "row.jsonl");
  await writeFile(data, `${JSON.stringify({ input_ids: ids })}\n`);
  const output = join(work, "memory-run");
  const config = {
    model,
    data: { train: data, task: "lm" },
    batchSize: 1,
    steps: 3,
    schedule: { threads },
    output,
  };
  const args = ["--input-type=module", "-e", program, JSON.stringify(config)];
  const root = join(import.meta.dirname, "../..");
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  const weightBytes = statSync(join(model, "model.safetensors")).size;
  const peakBytes = Number(stdout.trim().split("\n").at(-1));
  const result = { shape, batchSize: 1, length, weightBytes, peakBytes };
  result.overWeights = digits(peakBytes / weightBytes);
  if (!withPeers) return result;
  const peer = new Peer("mezo.py");
  await peer.ask({ load: model, threads });
  await peer.ask({ task: "lm", ids: [ids] });
  await peer.ask({ steps: 2 });
  result.peerPeakBytes = (await peer.ask({ peak: true })).bytes;
  await peer.close();
  return result;
}
