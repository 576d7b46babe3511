// A task of somebody's own on the command line: --task ./my-task.mjs
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { invalid } from "../config/problems.js";
import { messageOf } from "../errors.js";
import { defineTask, type TaskDefinition } from "../tasks/define.js";
import type { Task } from "../tasks/task.js";

/**
 * The default export of a module, where the text is the path of one: what defineTask() makes, or what
 * it takes (where the module lies, there may be no zo2 to import). Other texts are names of tasks.
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export async function loadTask(task: string): Promise<string | Task> {
  if (!/\.[cm]?[jt]s$/.test(task)) return task;
  const problem = (what: string, cause?: unknown) => invalid(`task ${task} ${what}`, cause);
  let exported: unknown;
  try {
    const module = (await import(pathToFileURL(resolve(task)).href)) as { default?: unknown };
    exported = module.default;
  } catch (error) {
    throw problem(`cannot be loaded: ${messageOf(error)}`, error);
  }
  if (typeof exported !== "object" || exported === null) {
    throw problem("has no default export; export what defineTask() makes");
  }
  const given = exported as Task | TaskDefinition;
  return "toJSON" in given ? given : defineTask(given);
}
