// The least time that a step can take on a device, from a handful of figures: no schedule, no simulator.
//
// Every streamed byte goes up once and, when it was rounded, down once; every weight is multiplied with every
// token of both branches; its noise is drawn once for the pending update and once for the perturbation; perturbed
// copies go through device memory. Transfers and computing overlap at best, so the step takes the longest of these.

/**
 * Of a model with plain blocks (OPT's, GPT-2's). Milliseconds, and which term is the longest.
 * @param plan what `zo2 plan` gives (bytes and parameters only) @param figures of a device profile
 */
export function bound({ plan, figures, hidden, feedForward, layers }) {
  const rate = (name) => figures[name].value * 1e9;
  const { parameters, batch, length, uploadBytesPerStep: up, offloadBytesPerStep: down } = plan;
  const tokens = batch * length;
  const branches = 2;
  // Products, and scores and sums of causal attention: half of length x length.
  const flops = branches * tokens * (2 * parameters + 2 * length * hidden * layers);
  const gemm = flops / (figures.tflops.value * 1e12);
  // Stochastic rounding takes one of a counter's four words: about a quarter of a draw.
  const draws = 2 + (plan.storage === "f32" ? 0 : 0.25 / plan.roundEvery);
  const noise = (draws * parameters) / rate("gnormals");
  const scratch = (branches * 2 * plan.weightBytes) / rate("memoryGbps");
  // What is neither product nor attention passes through device memory: two norms read the residual stream (f32) and
  // write, an activation reads and writes, in the type that is multiplied.
  const inputs = plan.storage === "f32" ? 4 : 2;
  const columns = 2 * (4 + inputs) * hidden + 2 * inputs * feedForward;
  const activations = (branches * tokens * layers * columns) / rate("memoryGbps");
  const terms = {
    up: up / rate("uploadGbps"),
    down: down / rate("offloadGbps"),
    duplex: (up + down) / rate("linkDuplexGbps"),
    compute: Math.max(gemm, scratch) + noise + activations,
  };
  const [by, seconds] = Object.entries(terms).sort((a, b) => b[1] - a[1])[0];
  return { boundMs: 1000 * seconds, by, terms };
}
