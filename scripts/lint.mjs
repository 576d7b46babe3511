// Every linter: TypeScript format (Biome), types-aware lint (oxlint), C++ format (clang-format from .venv),
// the package as others will see it (publint), and no weak symbols in the per-ISA kernels.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);
let failed = false;

function check(name, command, args, judge = (result) => result.status === 0) {
  const result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  const ok = !result.error && judge(result);
  console.log(`${ok ? "ok" : "FAILED"}  ${name}`);
  if (ok) return;
  failed = true;
  console.log(`${result.error ?? ""}${result.stdout ?? ""}${result.stderr ?? ""}`);
}

function files(folder, pattern) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => pattern.test(name))
    .map((name) => join(folder, name));
}

const bin = (name) => join("node_modules", ".bin", name);
check("biome format", bin("biome"), ["format", "."]);
check("oxlint", bin("oxlint"), ["--type-aware", "--deny-warnings", "lib", "test"]);

const clangFormat = join(".venv", "bin", "clang-format");
if (existsSync(clangFormat)) {
  const sources = [...files("csrc", /\.(cc|h|cu)$/), ...files("test", /\.(cc|h)$/)];
  check("clang-format", clangFormat, ["--dry-run", "--Werror", ...sources]);
} else {
  console.log("skipped  clang-format: run scripts/python-env.sh first");
}

// One weak symbol shared by two instruction sets' objects, and the linker picks either one's code for both.
const kernels = files("build/cmake/CMakeFiles", /kernels_.*\.o$/);
check("no weak symbols in kernels", "nm", ["-C", ...kernels], (result) => {
  return result.status === 0 && kernels.length > 0 && !/ [WVu] /.test(result.stdout);
});
process.exit(failed ? 1 : 0);
