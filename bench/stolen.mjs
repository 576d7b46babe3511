// What a hypervisor takes of a virtual machine's cores, for its disk among other things: /proc/stat on Linux.
import { readFileSync } from "node:fs";

function jiffies() {
  try {
    // user nice system idle iowait irq softirq steal
    const line = readFileSync("/proc/stat", "utf8").split("\n")[0];
    const all = line.trim().split(/\s+/).slice(1, 9).map(Number);
    return { all: all.reduce((a, b) => a + b, 0), stolen: all[7] };
  } catch {
    return { all: 0, stolen: 0 };
  }
}

/** A function that gives the share of all cores' time that was taken since this call; 0 where no one tells. */
export function stolenShare() {
  const before = jiffies();
  return () => {
    const now = jiffies();
    return now.all > before.all ? (now.stolen - before.stolen) / (now.all - before.all) : 0;
  };
}
