// Lines of a text file, one at a time. node:readline would also cut at U+2028, which JSON allows
// inside a text, and would replace bytes that are not UTF-8.
import { createReadStream } from "node:fs";
import { fromIo } from "../errors.js";

const newline = 0x0a;
const byteOrderMark = "\uFEFF";

/** Lines without their ends, numbered from 1; text is undefined where it is not UTF-8. */
export async function* readLines(
  path: string,
): AsyncGenerator<{ line: number; text: string | undefined }> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let line = 0;
  const decode = (bytes: Buffer): { line: number; text: string | undefined } => {
    line += 1;
    try {
      const text = decoder.decode(bytes).replace(/\r$/, "");
      return { line, text: line === 1 && text.startsWith(byteOrderMark) ? text.slice(1) : text };
    } catch {
      return { line, text: undefined };
    }
  };
  let rest: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
        yield decode(Buffer.concat([...rest, chunk.subarray(start, end)]));
        rest = [];
        start = end + 1;
      }
      if (start < chunk.length) rest.push(chunk.subarray(start));
    }
  } catch (error) {
    throw fromIo(error, "read", path);
  }
  if (rest.length > 0) yield decode(Buffer.concat(rest));
}
