// Every task by name: a new one is a file beside this and a line here.
import { closest, invalid, show } from "../config/problems.js";
import { boolq } from "./boolq.js";
import { cb } from "./cb.js";
import { chat } from "./chat.js";
import { completion } from "./completion.js";
import { copa } from "./copa.js";
import { drop } from "./drop.js";
import { lm } from "./lm.js";
import { multirc } from "./multirc.js";
import { options } from "./options.js";
import { record } from "./record.js";
import { rte } from "./rte.js";
import { squad } from "./squad.js";
import { sst2 } from "./sst2.js";
import { wic } from "./wic.js";
import { wsc } from "./wsc.js";
import type { Task, TaskMaker, TaskReference, TaskSettings } from "./task.js";

/** Settings that say nothing to most tasks. */
type Setting = "template" | "options" | "labels" | "chatTemplate";
interface Entry {
  make: TaskMaker;
  takes: readonly Setting[];
}

const tasks: Record<string, Entry> = {
  lm: { make: lm, takes: [] },
  completion: { make: completion, takes: [] },
  chat: { make: chat, takes: ["chatTemplate"] },
  options: { make: options, takes: ["template", "options", "labels"] },
  sst2: { make: sst2, takes: ["labels"] },
  rte: { make: rte, takes: ["labels"] },
  cb: { make: cb, takes: ["labels"] },
  boolq: { make: boolq, takes: [] },
  wsc: { make: wsc, takes: ["labels"] },
  wic: { make: wic, takes: ["labels"] },
  multirc: { make: multirc, takes: ["labels"] },
  copa: { make: copa, takes: [] },
  record: { make: record, takes: [] },
  squad: { make: squad, takes: [] },
  drop: { make: drop, takes: [] },
};

function named(name: string): Entry {
  const entry = Object.hasOwn(tasks, name) ? tasks[name] : undefined;
  if (entry) return entry;
  const names = Object.keys(tasks);
  const hint = closest(name, names);
  throw invalid(
    `data.task is ${show(name)}; it must be one of ${names.map(show).join(", ")}, or what ` +
      `defineTask() makes${hint ? `; did you mean "${hint}"?` : ""}`,
  );
}

function own(task: TaskReference): Entry {
  if (typeof (task as Task).example === "function") return { make: () => task as Task, takes: [] };
  throw invalid(
    `data.task is ${show(task)}, a task of somebody's own; give what defineTask() makes, or to the ` +
      "command line the module that exports it (--task ./my-task.mjs)",
  );
}

/** The task that settings describe. @throws Zo2Error ZO2_INVALID_CONFIG */
export function taskOf(settings: TaskSettings): Task {
  const { task } = settings;
  const [entry, name] = typeof task === "string" ? [named(task), task] : [own(task), task.name];
  for (const setting of ["template", "options", "labels", "chatTemplate"] as const) {
    if (settings[setting] === undefined || entry.takes.includes(setting)) continue;
    const others = Object.keys(tasks).filter((other) => tasks[other]?.takes.includes(setting));
    throw invalid(
      `data.${setting} is given, but task ${show(name)} has none; ` +
        `use task ${others.map(show).join(" or ")}`,
    );
  }
  return entry.make(settings);
}
