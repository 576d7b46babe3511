// zo2 doctor
import { formatSize } from "../config/sizes.js";
import { type DoctorReport, doctor } from "../doctor.js";
import { measureCpu } from "../measure-cpu.js";
import type { Output } from "./output.js";

const rate = (value: number) => value.toPrecision(3);

function* cudaLines(cuda: DoctorReport["cuda"]): Generator<string> {
  yield `cuda     ${cuda.built ? `${cuda.devices} devices` : "not in this build"}`;
  if (cuda.error) yield `         ${cuda.error}`;
  for (const { name, computeCapability, memoryBytes, driver, link } of cuda.gpus) {
    yield `         ${name}, compute capability ${computeCapability}, ${formatSize(memoryBytes)}, driver for CUDA ${driver}`;
    if (!link) continue;
    yield `         link ${rate(link.upGbps)} GB/s up, ${rate(link.downGbps)} down, ${rate(link.bothGbps)} at once; ` +
      `pageable ${rate(link.pageableUpGbps)} up, ${rate(link.pageableDownGbps)} down`;
  }
  if (cuda.built)
    yield `         ${cuda.cublasLt ? `cuBLASLt: ${cuda.cublasLt}` : cuda.cublasLtError}`;
}

/**
 * @param directory on the disk that runs would be on @returns exit code: 1 when a self-test failed
 * @throws Zo2Error ZO2_IO when the disk cannot be measured
 */
export function doctorCommand(output: Output, directory: string | undefined): number {
  const report = doctor();
  const { checks, ok } = report;
  output.note("measuring for about five seconds");
  const figures = measureCpu(directory);
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
  for (const line of cudaLines(report.cuda)) output.text(line);
  for (const check of checks) {
    output.text(`${check.ok ? "ok      " : "FAILED  "} ${check.name}: ${check.detail}`);
  }
  if (!ok) output.note("a self-test failed: results on this machine cannot be trusted");
  return ok ? 0 : 1;
}
