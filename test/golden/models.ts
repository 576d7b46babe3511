// The fixture models of test/fixtures (made by make_models.py), and engines loaded with them.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  native,
  type NativeEngine,
  type NativeLoadOptions,
  type NativeModelInfo,
  type NativeRows,
} from "../../dist/native.js";

export const root: string = fileURLToPath(new URL("../../", import.meta.url));
const models = join(root, "test/fixtures/models");

export interface GoldenSequence {
  tokens: number[];
  /** Mean nats per predicted token. */
  loss: number;
  /** [tokens, kept columns], every columnStride-th column. */
  logits: Float32Array;
}
export interface Golden {
  /** What load() is given, relative to the model's folder. */
  path: string;
  columnStride: number;
  sequences: GoldenSequence[];
  /** What an export has to hold, by name: shapes, and hashes of the values as fp32. */
  tensors: Record<string, { shape: number[]; sha256: string }>;
  /** Texts and the ids that transformers gives them, where the file has a vocabulary. */
  texts?: [text: string, ids: number[]][];
  /** The same under other names of a pre-tokenizer. */
  textsByPre?: Record<string, [text: string, ids: number[]][]>;
}

export const modelNames = (): string[] => readdirSync(models).sort();

export function readGolden(name: string): Golden {
  const raw = JSON.parse(readFileSync(join(models, name, "golden.json"), "utf8")) as Golden & {
    sequences: { logits: string }[];
  };
  const sequences = raw.sequences.map((s) => ({ ...s, logits: floats(s.logits as never) }));
  return { ...raw, sequences };
}

function floats(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
  return new Float32Array(bytes.buffer);
}

/** Names, shapes and hashes of what a safetensors file holds, and the types it holds them in. */
export function readStored(file: string): {
  tensors: Golden["tensors"];
  dtypes: Set<string>;
} {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  delete header["__metadata__"];
  const entries = Object.entries(header).map(([name, { shape, data_offsets }]) => {
    const [from, to] = data_offsets;
    const data = bytes.subarray(start + from, start + to);
    const sha256 = createHash("sha256").update(data).digest("hex");
    return [name, { shape, sha256 }] as const;
  });
  const dtypes = new Set(Object.values(header).map(({ dtype }) => dtype));
  return { tensors: Object.fromEntries(entries), dtypes };
}

/** What load() is given for a fixture; `scratch` receives weights that are not committed. */
export function modelPath(name: string, scratch: string): string {
  if (name === "panels") return writePanelsModel(scratch);
  const { path } = readGolden(name);
  return path === "." ? join(models, name) : join(models, name, path);
}

export interface Loaded {
  engine: NativeEngine;
  info: NativeModelInfo;
}

export async function loadModel(
  path: string,
  options: Partial<NativeLoadOptions> = {},
): Promise<Loaded> {
  const engine = new native.Engine();
  const defaults = { storage: "f32", threads: 2, isa: "auto", extentBytes: 64 << 20 } as const;
  return { engine, info: await engine.load({ path, ...defaults, ...options }) };
}

/** Language-modelling rows: one sequence each, every token after the first a label. */
export function lmRows(sequences: number[][]): NativeRows {
  return {
    kind: "lm",
    tokens: Int32Array.from(sequences.flat()),
    sequenceOffsets: offsets(sequences.map((s) => s.length)),
    labelStart: new Uint32Array(sequences.length).fill(1),
    rowOffsets: offsets(sequences.map(() => 1)),
    gold: new Int32Array(sequences.length).fill(-1),
  };
}

export interface OptionRow {
  /** Tokens of every option, each with its prompt before it. */
  options: number[][];
  promptLength: number;
  gold: number;
}

export function optionRows(rows: OptionRow[]): NativeRows {
  const sequences = rows.flatMap((row) => row.options);
  return {
    kind: "options",
    tokens: Int32Array.from(sequences.flat()),
    sequenceOffsets: offsets(sequences.map((s) => s.length)),
    labelStart: Uint32Array.from(rows.flatMap((r) => r.options.map(() => r.promptLength))),
    rowOffsets: offsets(rows.map((r) => r.options.length)),
    gold: Int32Array.from(rows.map((r) => r.gold)),
  };
}

function offsets(lengths: number[]): Uint32Array {
  const ends = new Uint32Array(lengths.length + 1);
  lengths.forEach((n, i) => {
    ends[i + 1] = (ends[i] ?? 0) + n;
  });
  return ends;
}

// test/fixtures/panels.py: the same shapes and the same formula.
function panelShapes(config: Record<string, number>): [string, number[]][] {
  const { hidden_size: hidden = 0, intermediate_size: inner = 0, vocab_size: vocab = 0 } = config;
  const layer = "model.layers.0.";
  return [
    ["model.embed_tokens.weight", [vocab, hidden]],
    ...[..."qkvo"].map((x): [string, number[]] => [
      `${layer}self_attn.${x}_proj.weight`,
      [hidden, hidden],
    ]),
    [`${layer}mlp.gate_proj.weight`, [inner, hidden]],
    [`${layer}mlp.up_proj.weight`, [inner, hidden]],
    [`${layer}mlp.down_proj.weight`, [hidden, inner]],
    [`${layer}input_layernorm.weight`, [hidden]],
    [`${layer}post_attention_layernorm.weight`, [hidden]],
    ["model.norm.weight", [hidden]],
  ];
}

function writePanelsModel(scratch: string): string {
  const dir = join(scratch, "panels");
  mkdirSync(dir, { recursive: true });
  copyFileSync(join(models, "panels/config.json"), join(dir, "config.json"));
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as never;
  const shapes = panelShapes(config);
  const header: Record<string, unknown> = {};
  const total = shapes.reduce((sum, [, shape]) => sum + product(shape), 0);
  const values = new Float32Array(total);
  let n = 0;
  for (const [name, shape] of shapes) {
    const end = n + product(shape);
    header[name] = { dtype: "F32", shape, data_offsets: [4 * n, 4 * end] };
    const centre = shape.length === 1 ? 1 : 0;
    for (; n < end; n++) {
      let h = Math.imul(n, 2654435761);
      h = Math.imul(h ^ (h >>> 15), 2246822519);
      values[n] = ((h >>> 16) - 32768) * 2 ** -17 + centre;
    }
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeUInt32LE(text.length);
  const file = Buffer.concat([length, Buffer.from(text), Buffer.from(values.buffer)]);
  writeFileSync(join(dir, "model.safetensors"), file);
  return dir;
}

const product = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);
