// Timelines, as runs write them.
import { readFileSync } from "node:fs";

/** What one lane did, in microseconds since the start. */
export interface Span {
  lane: string;
  name: string;
  from: number;
  to: number;
}
interface TraceEvent {
  ph: string;
  tid: number;
  name: string;
  ts: number;
  dur: number;
  args?: { name?: string };
}

/** Of a timeline in Chrome's format. */
export function spansOf(path: string): Span[] {
  const { traceEvents } = JSON.parse(readFileSync(path, "utf8")) as { traceEvents: TraceEvent[] };
  const lanes = new Map<number, string>();
  for (const { ph, tid, name, args } of traceEvents) {
    if (ph === "M" && name === "thread_name") lanes.set(tid, args?.name ?? "");
  }
  return traceEvents
    .filter(({ ph }) => ph === "X")
    .map(({ tid, name, ts, dur }) => ({
      lane: lanes.get(tid) ?? "",
      name,
      from: ts,
      to: ts + dur,
    }));
}
