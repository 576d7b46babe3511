// The CUDA backend on an emulated GPU (docs/cuda.md).
import { existsSync } from "node:fs";
import t from "tap";
import { nativeCases } from "../support/native-cases.js";

const folder = "build/cmake/test/cuda";
// Builds without CUDA's headers have neither.
const skip = existsSync(folder) ? false : "no CUDA headers on this machine";

t.test("the emulator", { skip }, (t) => nativeCases(t, `${folder}/zo2_emulator_tests`));
t.test("the backend", { skip }, (t) => nativeCases(t, `${folder}/zo2_cuda_tests`));
