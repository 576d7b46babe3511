// Every task by name: a new one is a file beside this and a line here.
import { closest, invalid, show } from "../config/problems.js";
import { lm } from "./lm.js";
import { options } from "./options.js";
import { sst2 } from "./sst2.js";
import type { Task, TaskSettings } from "./task.js";

const tasks: Record<string, (settings: TaskSettings) => Task> = { lm, options, sst2 };

/** The task that settings describe. @throws Zo2Error ZO2_INVALID_CONFIG */
export function taskOf(settings: TaskSettings): Task {
  const make = Object.hasOwn(tasks, settings.task) ? tasks[settings.task] : undefined;
  if (make) return make(settings);
  const names = Object.keys(tasks);
  const hint = closest(settings.task, names);
  throw invalid(
    `data.task is ${show(settings.task)}; it must be one of ${names.map(show).join(", ")}` +
      (hint ? `; did you mean "${hint}"?` : ""),
  );
}
