// The method of a run, as its users see it (types.ts).
import type { Filled } from "./filled.js";

/** What only some methods have. */
export interface MethodConstants {
  /** Of spsa1.5: power of the curvature that a difference is divided by (default 0.1). */
  saturatingAlpha?: number | undefined;
  /** Of spsa1.5: least divisor (default 1). */
  lambdaReg?: number | undefined;
  /** Of adamezo: decay of the first moment (default 0.7). */
  adamBeta1?: number | undefined;
  /** Of meazo and adamezo: decay of the second moment (default 0.99, 0.9). */
  adamBeta2?: number | undefined;
  /** Of meazo and adamezo: added to its root (default 1e-8, 1e-5). */
  adamEpsilon?: number | undefined;
  /** Of lozo and subzero: columns of the factors of a direction (default 2, 8). */
  rank?: number | undefined;
  /** Of lozo and subzero: steps that share a basis (default 50, 1000). */
  updateInterval?: number | undefined;
  /** Of adamezo: records that moments are of (default 10). */
  window?: number | undefined;
  /** Of sparse: share of a matrix, the largest weights, that is left as it is (default 0.8). */
  sparsity?: number | undefined;
}
export type MethodConstant = keyof MethodConstants;

/** How weights are changed. Defaults are mezo's; docs/methods.md has those of the others. */
export interface MethodConfig extends MethodConstants {
  name?:
    | "mezo"
    | "fzoo"
    | "spsa1.5"
    | "es"
    | "meazo"
    | "lozo"
    | "subzero"
    | "sparse"
    | "adamezo"
    | "qzo"
    | undefined;
  /** Peak learning rate (default 1e-6). */
  learningRate?: number | undefined;
  /** Length of the perturbation (default 1e-3). */
  epsilon?: number | undefined;
  /** Random directions a step (default 1). */
  directions?: number | undefined;
  distribution?: "gaussian" | "rademacher" | undefined;
  /** Decoupled decay of everything but norms and biases (default 0). */
  weightDecay?: number | undefined;
  lrSchedulerType?: "constant" | "linear" | "cosine" | undefined;
  /** Steps over which the learning rate rises from 0 (default 0). */
  warmupSteps?: number | undefined;
  /** Learning rate at the end of a schedule, as a share of the peak (default 0). */
  minLearningRateRatio?: number | undefined;
  /** Largest |projected gradient|; 0 (default): no clipping. */
  clip?: number | undefined;
}

/** {@link MethodConfig} with its defaults. */
export type ResolvedMethod = Filled<MethodConfig, MethodConstant>;
