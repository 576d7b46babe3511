// Flags of a command from the configuration's table, and a configuration from flags and --config.
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { type Flag, isSwitch, mergeFlags, type RawConfig } from "../config/flags.js";
import { invalid } from "../config/problems.js";
import { fromIo, messageOf } from "../errors.js";
import { loadTask } from "./task-module.js";

/** Options of a command as commander gives them. */
export type Given = Record<string, unknown>;

function option(flag: Flag): Option {
  const { name, description, allowed, defaultValue } = flag;
  const fallback = defaultValue === undefined ? "" : `; default ${JSON.stringify(defaultValue)}`;
  const value = isSwitch(flag) ? "[value]" : "<value>";
  return new Option(`--${name} ${value}`, `${description} (${allowed}${fallback})`);
}

/** Adds --config, --json and a flag for every name of the configuration. */
export function addFlags(command: Command, flags: readonly Flag[]): Command {
  command.option("--config <file>", "JSON file with a configuration; flags override it");
  for (const flag of flags) command.addOption(option(flag));
  return addJson(command);
}

export function addJson(command: Command): Command {
  return command.option("--json", "one JSON object a line on stdout");
}

async function readConfig(path: string): Promise<RawConfig> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw invalid(fromIo(error, "read", path).message, error);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as RawConfig;
    }
  } catch (error) {
    throw invalid(`${path} is not JSON: ${messageOf(error)}`, error);
  }
  throw invalid(`${path} does not hold an object`);
}

/** The configuration that --config and flags make; not checked yet. */
export async function gather(flags: readonly Flag[], given: Given): Promise<RawConfig> {
  const base = typeof given.config === "string" ? await readConfig(given.config) : {};
  const texts: Record<string, string> = {};
  for (const flag of flags) {
    const text = given[option(flag).attributeName()];
    if (text === true) texts[flag.name] = "true";
    else if (typeof text === "string") texts[flag.name] = text;
  }
  const config = mergeFlags(flags, base, texts);
  for (const place of [config, config.data] as (RawConfig | undefined)[]) {
    if (typeof place?.task === "string") place.task = await loadTask(place.task);
  }
  return config;
}
