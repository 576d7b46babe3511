// Writes a model of a named shape with random weights, so that speed can be measured without a download.
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { shapeOf } from "../dist/shapes.js";

/** Of tests: two layers. */
const tiny = {
  ...shapeOf("opt-125m"),
  hidden_size: 64,
  word_embed_proj_dim: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  ffn_dim: 256,
  vocab_size: 500,
};

/** config.json of a shape that lib/shapes.ts knows, or of "opt-tiny". */
export function configOf(name) {
  const config = name === "opt-tiny" ? tiny : shapeOf(name);
  if (!config) throw new Error(`--shape ${name}: no such shape`);
  return config;
}

/** Of an OPT model. */
function tensorsOf(config) {
  const { hidden_size: hidden, num_hidden_layers: layers, ffn_dim: ffn } = config;
  const tensors = [
    ["embed_tokens.weight", [config.vocab_size, hidden]],
    ["embed_positions.weight", [2050, hidden]],
  ];
  const linear = (name, out, into) => [
    [`${name}.weight`, [out, into]],
    [`${name}.bias`, [out]],
  ];
  const norm = (name) => [
    [`${name}.weight`, [hidden]],
    [`${name}.bias`, [hidden]],
  ];
  for (let i = 0; i < layers; i++) {
    const layer = `layers.${i}`;
    for (const name of ["k_proj", "v_proj", "q_proj", "out_proj"])
      tensors.push(...linear(`${layer}.self_attn.${name}`, hidden, hidden));
    tensors.push(...norm(`${layer}.self_attn_layer_norm`));
    tensors.push(...linear(`${layer}.fc1`, ffn, hidden), ...linear(`${layer}.fc2`, hidden, ffn));
    tensors.push(...norm(`${layer}.final_layer_norm`));
  }
  return [...tensors, ...norm("final_layer_norm")].map(([name, shape]) => ({
    name: `model.decoder.${name}`,
    shape,
    count: shape.reduce((a, b) => a * b, 1),
  }));
}

/** Values of about the size of OPT's; norms are ones. A fixed pattern costs less than random draws. */
function values(name, count) {
  const out = new Float32Array(count);
  if (name.includes("norm.weight")) return out.fill(1);
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = (state / 2 ** 32 - 0.5) * 0.04;
  }
  return out;
}

/** The directory below `work` of a random model of a named OPT shape, written on first use. */
export async function randomModel(work, name) {
  const config = configOf(name);
  const dir = join(work, `${name}-files`); // generatedModel() has no files of weights
  if (!existsSync(dir)) await writeRandomModel(dir, config);
  return dir;
}

/** Makes `dir` a Hugging Face directory of the shape; f32. */
async function writeRandomModel(dir, config) {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "config.json"), JSON.stringify(config));
  const tensors = tensorsOf(config);
  const header = {};
  let offset = 0;
  for (const { name, shape: dims, count } of tensors) {
    header[name] = { dtype: "F32", shape: dims, data_offsets: [offset, offset + 4 * count] };
    offset += 4 * count;
  }
  const text = Buffer.from(
    JSON.stringify(header).padEnd(8 * Math.ceil(JSON.stringify(header).length / 8)),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = createWriteStream(join(dir, "model.safetensors"));
  file.write(length);
  file.write(text);
  for (const { name, count } of tensors) {
    const data = values(name, count);
    if (!file.write(Buffer.from(data.buffer)))
      await new Promise((done) => file.once("drain", done));
  }
  file.end();
  await finished(file);
}

/**
 * A directory whose weights are random and in no file (csrc/store/random_directory.h): models of any
 * size, of an OPT shape that lib/shapes.ts knows, with fewer `layers` if asked.
 */
export async function generatedModel(work, name, layers) {
  const config = { ...configOf(name), ...(layers && { num_hidden_layers: layers }) };
  const dir = join(work, layers ? `${name}-${layers}` : name);
  await mkdir(dir, { recursive: true });
  const tensors = tensorsOf(config).map(({ name, shape }) => ({
    name,
    shape,
    mean: name.includes("norm.weight") ? 1 : 0,
    spread: name.includes("norm.weight") ? 0 : 0.02,
  }));
  await writeFile(join(dir, "config.json"), JSON.stringify(config));
  await writeFile(join(dir, "random.json"), JSON.stringify({ seed: 0, tensors }));
  return dir;
}
