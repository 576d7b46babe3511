// What npm run bench is asked for.
import { join } from "node:path";
import { parseArgs } from "node:util";

const options = {
  suite: { type: "string", default: "paper,predicted,streamed,cpu,kernels,step,options,memory" },
  shape: { type: "string", default: "opt-125m" },
  batch: { type: "string", default: "1,16" },
  length: { type: "string", default: "128" },
  steps: { type: "string", default: "2" },
  rounds: { type: "string" }, // 3; with --quick 1
  threads: { type: "string" },
  isa: { type: "string", default: "auto" },
  tokens: { type: "string", default: "16,64,128,512,2048" },
  size: { type: "string", default: "2048,8192" },
  matmul: { type: "string", default: "zo2" }, // of suite gpu
  quick: { type: "boolean", default: false },
  full: { type: "boolean", default: false }, // all 96 layers of OPT-175B: 350 GB of disk, half an hour a step
  minutes: { type: "string", default: "60" },
  every: { type: "string", default: "200" },
  model: { type: "string" },
  seeds: { type: "string" }, // 5; of suite methods with --quick or --model 1
  "train-steps": { type: "string", default: "350" },
  "learning-rate": { type: "string", default: "5e-7" },
  rows: { type: "string", default: "1000" },
  passes: { type: "string" }, // of suite methods: forward passes of a run; 576, with --quick 9
  work: { type: "string" }, // kept; suite methods goes on with the runs that are in it
  results: { type: "string", default: join(import.meta.dirname, "results") },
  "no-peers": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
};

// Those that are numbers, or lists of them.
const counts =
  "batch length steps rounds threads tokens size seeds rows train-steps every passes".split(" ");

function check(values) {
  for (const name of counts) {
    const wrong = values[name]?.split(",").find((text) => !/^[1-9]\d*$/.test(text));
    if (wrong !== undefined) throw new Error(`--${name} ${wrong}: give whole numbers from 1`);
  }
}

/** Flags by name; undefined where there is nothing to do, with the reason on stderr. */
export function parseFlags() {
  const usage = Object.entries(options)
    .map(([name, { type }]) => (type === "boolean" ? `[--${name}]` : `[--${name} ...]`))
    .join(" ");
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: "boolean" } } });
    check(values);
    if (!values.help) return values;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
  console.error(`npm run bench -- ${usage}`);
  return undefined;
}
