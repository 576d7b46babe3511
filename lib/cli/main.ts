#!/usr/bin/env node
// zo2 train | eval | generate | export | replay | report | plan | doctor | bench. Exit codes: 0 done, 1 failed, 2 wrong
// usage or configuration, 130 interrupted.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import {
  evaluateFlags,
  exportFlags,
  generateFlags,
  planFlags,
  trainFlags,
} from "../config/flags.js";
import { Zo2Error } from "../errors.js";
import { benchCommand } from "./bench.js";
import { doctorCommand } from "./doctor.js";
import { evalCommand } from "./eval.js";
import { exportCommand } from "./export.js";
import { generateCommand } from "./generate.js";
import { createOutput, endWithReader, type Output, reportError } from "./output.js";
import { planCommand } from "./plan.js";
import { replayCommand } from "./replay.js";
import { reportCommand } from "./report.js";
import { addFlags, addJson, type Given } from "./settings.js";
import { trainCommand } from "./train.js";

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** @param finish takes the exit code */
function createProgram(output: Output, finish: (code: number) => void): Command {
  const program = new Command("zo2");
  program
    .description("Zeroth-order fine-tuning of language models: forward passes only")
    .version(version())
    .exitOverride()
    // Errors are reported in one place, below.
    .configureOutput({ writeErr: () => undefined });
  const command = (name: string, summary: string): Command =>
    program.command(name).description(summary).allowExcessArguments(false);
  const training = command("train", "fine-tune a model; the same command goes on with a run");
  addFlags(training, trainFlags).action(async (given: Given) => {
    finish(await trainCommand(given, output));
  });
  const evaluation = command("eval", "loss and accuracy of a model or a run");
  addFlags(evaluation, evaluateFlags)
    .option("--per-example", "a line for every row")
    .action(async (given: Given) => {
      finish(await evalCommand(given, output));
    });
  const generating = command("generate", "continue prompts with a model or a run");
  addFlags(generating, generateFlags).action(async (given: Given) => {
    finish(await generateCommand(given, output));
  });
  const exporting = command("export", "write a run's model as a Hugging Face directory");
  addFlags(exporting, exportFlags).action(async (given: Given) => {
    finish(await exportCommand(given, output));
  });
  addJson(command("replay", "write the weights that a base model and a journal give"))
    .option("--base <model>", "the model the run was started from")
    .option("--journal <file>", "journal.ndjson of the run; nothing else of it is needed")
    .option("--out <dir>", "new directory to write")
    .option("--step <n>", "last step to apply (default: the journal's last)")
    .option("--adapter <dir>", "the adapter that the run began from, where it did")
    .option(
      "--merge-adapter [value]",
      "write the whole model, with LoRA adapters added to its weights (true or false; default false)",
    )
    .action(async (given: Given) => {
      finish(await replayCommand(given, output));
    });
  addJson(command("report", "write a page with a run's losses, evaluations, times and traffic"))
    .option("--run <dir>", "the run")
    .option("--out <file>", "file to write (default: report.html in the run's directory)")
    .action(async (given: Given) => {
      finish(await reportCommand(given, output));
    });
  const planning = command("plan", "where everything would be, and how long a step would take");
  addFlags(planning, planFlags).action(async (given: Given) => {
    finish(await planCommand(given, output));
  });
  const examined = command(
    "doctor",
    "what this machine offers and does in a second, and self-tests",
  );
  examined.option("--directory <dir>", "on the disk to be measured; 512 MiB for a moment");
  addJson(examined).action(({ directory }: { directory?: string }) => {
    finish(doctorCommand(output, directory));
  });
  command(
    "bench",
    "what this machine does with models of many sizes; zo2 bench --help lists its flags",
  )
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (_: Given, { args }: Command) => {
      finish(await benchCommand(args));
    });
  return program;
}

/** Commander's own errors are about usage. */
function usageError({ message, exitCode, code }: CommanderError, help: string): Zo2Error | number {
  if (exitCode === 0) return 0;
  const text = code === "commander.help" ? help : message.replace(/^error: /, "");
  return new Zo2Error("ZO2_INVALID_CONFIG", text);
}

async function main(argv: readonly string[]): Promise<number> {
  endWithReader();
  const output = createOutput(argv.includes("--json"));
  let code = 0;
  const program = createProgram(output, (finished) => {
    code = finished;
  });
  try {
    await program.parseAsync(argv);
    return code;
  } catch (thrown) {
    const help =
      "give a command: train, eval, generate, export, replay, report, plan, doctor or bench (zo2 --help lists their flags)";
    const error = thrown instanceof CommanderError ? usageError(thrown, help) : thrown;
    if (error === 0) return 0;
    reportError(output, error);
    return error instanceof Zo2Error && error.code === "ZO2_INVALID_CONFIG" ? 2 : 1;
  }
}

process.exitCode = await main(process.argv);
