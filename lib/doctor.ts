// What this machine offers, and whether the addon computes rightly on it.
import { fromNative } from "./errors.js";
import { native } from "./native.js";
import type { NativeDoctor } from "./native-doctor.js";

/** What {@link doctor} finds; sizes in bytes. */
export interface DoctorReport extends NativeDoctor {
  /** Version of Node. */
  node: string;
  /** "linux-x64" ... */
  platform: string;
  /** Every self-test has passed. */
  ok: boolean;
}

/** Looks at the machine and runs the addon's self-tests. @throws Zo2Error */
export function doctor(): DoctorReport {
  try {
    const report = native.doctor(true);
    const ok = report.checks.every((check) => check.ok);
    const platform = `${process.platform}-${process.arch}`;
    return { ...report, node: process.versions.node, platform, ok };
  } catch (error) {
    throw fromNative(error);
  }
}
