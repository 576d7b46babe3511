// What is being fetched from the Hub, on stderr; with --json also as events.
import { formatSize } from "../config/sizes.js";
import type { DownloadEvent, HubOptions } from "../hub/snapshot.js";
import type { Output } from "./output.js";

const everyMs = 10_000;

export class Downloads {
  #file = "";
  #lastLine = 0;

  constructor(private readonly output: Output) {}

  /** A line for each file, now and then, and at the end. */
  show({ source, file, bytes, totalBytes }: DownloadEvent): void {
    const now = performance.now();
    const isWorthIt = file !== this.#file || bytes === totalBytes;
    if (!isWorthIt && now - this.#lastLine < everyMs) return;
    this.#file = file;
    this.#lastLine = now;
    const of = `${formatSize(bytes)} of ${formatSize(totalBytes)}`;
    this.output.note(`${source}: ${file}, ${of}`);
  }
}

/** For what does not train. */
export function downloadHooks(output: Output): Pick<HubOptions, "onDownload"> {
  const downloads = new Downloads(output);
  return {
    onDownload: (event) => {
      output.object(event);
      downloads.show(event);
    },
  };
}
