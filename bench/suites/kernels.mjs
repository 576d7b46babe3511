// The fused linear (update, write-back, perturbation and product of two branches) as a share of the speed
// of torch.matmul on plain weights, and normals beside torch.normal. Both take turns in one run.
import { native } from "../../dist/native.js";
import { Peer } from "../peer.mjs";
import { digits, median } from "../statistics.mjs";

const distributions = ["gaussian", "rademacher"];

async function linearRow({ threads, isa, rounds, repeats, peer, size, tokens }) {
  const [into, out] = size;
  const times = { none: [], gaussian: [], rademacher: [], matmul: [] };
  for (let round = 0; round < rounds; round++) {
    for (const noise of ["none", ...distributions]) {
      const of = { what: "linear", noise, threads, isa, repeats, in: into, out, tokens };
      times[noise].push(...native.measure(of));
    }
    const matmul = [2 * tokens, into, out];
    if (peer) times.matmul.push(...(await peer.ask({ matmul, repeats })).seconds);
  }
  const flops = 2 * 2 * tokens * into * out;
  const gflops = (name) => digits(flops / median(times[name]) / 1e9);
  const row = { tokens, plain: gflops("none") };
  for (const noise of distributions) {
    row[noise] = gflops(noise);
    row[`${noise}Cost`] = digits(median(times[noise]) / median(times.none) - 1, 2);
    if (peer) row[`${noise}Share`] = digits(median(times.matmul) / median(times[noise]));
  }
  if (peer) row.matmul = gflops("matmul");
  return row;
}

async function normals({ threads, isa, rounds, repeats, peer, count }) {
  const times = { gaussian: [], rademacher: [], torch: [] };
  for (let round = 0; round < rounds; round++) {
    for (const noise of distributions) {
      times[noise].push(...native.measure({ what: "noise", noise, threads, isa, repeats, count }));
    }
    if (peer) times.torch.push(...(await peer.ask({ normal: count, repeats })).seconds);
  }
  const rate = (name) => digits(count / median(times[name]) / 1e6);
  const result = { gaussian: rate("gaussian"), rademacher: rate("rademacher") };
  if (!peer) return result;
  const ratio = digits(median(times.torch) / median(times.gaussian));
  return { ...result, torch: rate("torch"), ratio };
}

/** GFLOP/s by tokens of a branch and millions of random numbers a second. */
export async function kernels({ rounds, threads, isa, withPeers, size, tokens, count }) {
  const peer = withPeers ? new Peer("ops.py") : undefined;
  await peer?.ask({ threads });
  const linear = [];
  try {
    for (const of of tokens) {
      const repeats = of > 1024 ? 1 : 5;
      linear.push(await linearRow({ threads, isa, rounds, repeats, peer, size, tokens: of }));
    }
    const noise = await normals({ threads, isa, rounds, repeats: 3, peer, count });
    return { in: size[0], out: size[1], linear, normals: noise };
  } finally {
    await peer?.close();
  }
}
