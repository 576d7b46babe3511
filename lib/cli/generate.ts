// zo2 generate
import { generateFlags } from "../config/flags.js";
import type { GenerateConfig } from "../config/types.js";
import { generate } from "../generate.js";
import type { GenerationTimes } from "../generation/generation.js";
import { downloadHooks } from "./downloads.js";
import { interrupted, listenForInterrupts } from "./interrupt.js";
import { type Output, short } from "./output.js";
import { type Given, gather } from "./settings.js";

/** Texts of several prompts, one after another: the first that is not done streams. */
class Texts {
  #current = 0;
  #open = false;
  readonly #waiting = new Map<number, string>();
  readonly #done = new Set<number>();

  constructor(
    private readonly output: Output,
    private readonly titles: boolean,
  ) {}

  add(index: number, text: string): void {
    this.#waiting.set(index, (this.#waiting.get(index) ?? "") + text);
    this.#flush();
  }

  end(index: number): void {
    this.#done.add(index);
    this.#flush();
  }

  #flush(): void {
    for (;;) {
      const text = this.#waiting.get(this.#current);
      if (text !== undefined) this.#write(text);
      if (!this.#done.has(this.#current)) return;
      this.#write("\n");
      this.#current += 1;
      this.#open = false;
    }
  }

  #write(text: string): void {
    if (this.titles && !this.#open) this.output.piece(`# prompt ${this.#current}\n`);
    this.#open = true;
    this.output.piece(text);
    this.#waiting.delete(this.#current);
  }
}

function rate(tokens: number, ms: number): number | null {
  return ms > 0 ? (1000 * tokens) / ms : null;
}

/** @returns exit code */
export async function generateCommand(given: Given, output: Output): Promise<number> {
  // What is gathered is unchecked; generate() checks it.
  const config = (await gather(generateFlags, given)) as unknown as GenerateConfig;
  const controller = new AbortController();
  const { signal } = controller;
  const interrupts = listenForInterrupts(() => controller.abort());
  const titles = config.promptsFile !== undefined || Array.isArray(config.prompts);
  const texts = new Texts(output, titles);
  let times: GenerationTimes | undefined;
  try {
    const results = await generate(config, {
      signal,
      ...downloadHooks(output),
      onToken: (token) => {
        output.object(token);
        texts.add(token.index, token.text);
      },
      onEnd: (generation, index) => {
        output.object({ event: "result", index, ...generation });
        texts.end(index);
      },
      onTimes: (measured) => {
        times = measured;
      },
    });
    const { promptTokens = 0, prefillMs = 0, decodedTokens = 0, decodeMs = 0 } = times ?? {};
    const newTokens = results.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const tokensPerSecond = rate(decodedTokens, decodeMs);
    const counts = { prompts: results.length, promptTokens, newTokens };
    output.object({ event: "done", ...counts, prefillMs, decodeMs, tokensPerSecond });
    if (!output.json) {
      output.note(
        `${promptTokens} prompt tokens in ${short(prefillMs / 1000)} s, ` +
          `${newTokens} new tokens, ${short(tokensPerSecond)} tokens/s`,
      );
    }
    return 0;
  } catch (error) {
    if (error !== signal.reason || !signal.aborted) throw error;
    output.piece("\n");
    output.note("stopped");
    return interrupted;
  } finally {
    interrupts.release();
  }
}
