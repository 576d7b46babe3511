// zo2 doctor
import { formatSize } from "../config/sizes.js";
import { doctor } from "../doctor.js";
import { measureCpu } from "../measure-cpu.js";
import type { Output } from "./output.js";

/**
 * @param directory on the disk that runs would be on @returns exit code: 1 when a self-test failed
 * @throws Zo2Error ZO2_IO when the disk cannot be measured
 */
export function doctorCommand(output: Output, directory: string | undefined): number {
  const report = doctor();
  const { cuda, checks, ok } = report;
  output.note("measuring for about five seconds");
  const figures = measureCpu(directory);
  const rate = (value: number) => value.toPrecision(3);
  output.object({ event: "done", ...report, figures });
  output.text(`zo2      ${report.version} on Node ${report.node}, ${report.platform}`);
  output.text(`cpu      ${report.cores} cores, ${report.isa} (of ${report.isas.join(", ")})`);
  output.text(`memory   ${formatSize(report.memoryBytes)}`);
  output.text(
    `         ${rate(figures.gflops)} GFLOP/s, ${rate(figures.memoryGbps)} GB/s, ${rate(figures.gnormals)} G normals/s`,
  );
  output.text(
    `disk     ${rate(figures.diskReadGbps)} GB/s read, ${rate(figures.diskWriteGbps)} written, ${rate(figures.diskTotalGbps)} at once; ` +
      (figures.diskComputeGbps > 0
        ? `${rate(figures.diskComputeGbps)} GB cost a second of compute`
        : "no compute lost"),
  );
  output.text(`cuda     ${cuda.built ? `${cuda.devices} devices` : "not in this build"}`);
  for (const gpu of cuda.gpus) {
    output.text(
      `         ${gpu.name}, compute capability ${gpu.computeCapability}, ${formatSize(gpu.memoryBytes)}, driver for CUDA ${gpu.driver}`,
    );
  }
  if (cuda.error) output.text(`         ${cuda.error}`);
  for (const check of checks) {
    output.text(`${check.ok ? "ok      " : "FAILED  "} ${check.name}: ${check.detail}`);
  }
  if (!ok) output.note("a self-test failed: results on this machine cannot be trusted");
  return ok ? 0 : 1;
}
