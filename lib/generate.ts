// generate(): prompts continued by a base model, or by a run's.
import { Broadcast } from "./broadcast.js";
import { resolveGenerateConfig } from "./config/resolve.js";
import { generateTerms, inTerms } from "./config/terms.js";
import type { GenerateConfig } from "./config/types.js";
import {
  type Generation,
  type GenerationHooks,
  generateFrom,
  type TokenEvent,
} from "./generation/generation.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { openTuned, withTuned } from "./tuned.js";
import { type UserCode, withUserCode } from "./user-code.js";

/** What {@link generate} tells while it goes on; `signal` ends it, between two tokens. */
export type GenerateOptions = GenerationHooks;

/**
 * Continues prompts with a base model (`model`) or a tuned one (`run`). Results are in the order of
 * the prompts. @throws Zo2Error; the signal's reason; what callbacks throw
 */
export async function generate(
  config: GenerateConfig,
  options: GenerateOptions = {},
): Promise<Generation[]> {
  return generateWith(nativeRuntime, config, options);
}

/** {@link generate} on a given runtime. */
export async function generateWith(
  runtime: Runtime,
  config: GenerateConfig,
  options: GenerateOptions,
): Promise<Generation[]> {
  return withUserCode(options.signal, (user, signal) =>
    generateChecked(runtime, config, { ...options, signal }, user),
  );
}

async function generateChecked(
  runtime: Runtime,
  config: GenerateConfig,
  options: GenerateOptions,
  user: UserCode,
): Promise<Generation[]> {
  const { signal } = options;
  const resolved = resolveGenerateConfig(config);
  signal?.throwIfAborted();
  const tuned = await openTuned(resolved);
  const { run } = tuned;
  const settings =
    resolved.chatTemplate === undefined && run !== undefined
      ? { ...resolved, chatTemplate: run.config.data.chatTemplate, templateOf: run.directory }
      : resolved;
  try {
    return await withTuned(runtime, tuned, options, (opened) =>
      generateFrom(opened, settings, options, user),
    );
  } catch (error) {
    throw inTerms(generateTerms, error);
  }
}

/**
 * {@link generate} as a loop over its tokens; breaking out of it ends it.
 *
 * ```ts
 * for await (const { text } of generateStream({ model, prompts })) process.stdout.write(text);
 * ```
 */
export function generateStream(
  config: GenerateConfig,
  options: Pick<GenerateOptions, "signal"> = {},
): AsyncGenerator<TokenEvent, void, undefined> {
  return generateStreamWith(nativeRuntime, config, options);
}

/** {@link generateStream} on a given runtime. */
export async function* generateStreamWith(
  runtime: Runtime,
  config: GenerateConfig,
  { signal }: Pick<GenerateOptions, "signal">,
): AsyncGenerator<TokenEvent, void, undefined> {
  const leaving = new AbortController();
  const both = signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal;
  const tokens = new Broadcast<TokenEvent>();
  const seen = tokens.iterate();
  const onToken = (token: TokenEvent): void => tokens.send(token);
  const finished = generateWith(runtime, config, { signal: both, onToken }).then(
    () => tokens.end(),
    (reason: unknown) => tokens.fail(reason),
  );
  try {
    yield* seen;
  } finally {
    leaving.abort();
    await finished;
  }
}
