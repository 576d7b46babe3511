// zo2 bench: bench/main.mjs, which measures this library as its users have it; its flags are its own.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { interrupted, listenForInterrupts } from "./interrupt.js";

const program = fileURLToPath(new URL("../../bench/main.mjs", import.meta.url));
/** In the current directory: the package's own may be nobody's to write to. */
const results = ["--results", "bench-results"];

/** @param args `--results` among them replaces the directory */
export async function benchCommand(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [program, ...results, ...args], { stdio: "inherit" });
  // A terminal interrupts both, others only this one.
  const interrupts = listenForInterrupts(() => child.kill());
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve(code ?? interrupted));
    });
  } finally {
    interrupts.release();
  }
}
