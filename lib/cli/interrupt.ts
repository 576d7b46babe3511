// Ctrl-C: the first one stops cleanly, the second one ends the process at once.

/** Exit code of a process that was interrupted. */
export const interrupted = 130;

export interface Interrupts {
  /** Whether there was one. */
  readonly seen: boolean;
  /** Stops listening. */
  release(): void;
}

/** @param onFirst asks for a clean stop */
export function listenForInterrupts(onFirst: () => void): Interrupts {
  let seen = false;
  const listener = (): void => {
    if (seen) process.exit(interrupted);
    seen = true;
    onFirst();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, listener);
  return {
    get seen() {
      return seen;
    },
    release: () => {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The command that goes on with what this process has begun, to be typed again.
 * @param resume the run's setting; "never" would refuse to go on, and the last flag counts
 */
export function resumeCommand(argv: readonly string[], resume: string): string {
  const [, script = "zo2", ...rest] = argv;
  const program = /(^|\/)zo2$/.test(script) ? ["zo2"] : ["node", script];
  if (resume === "never") rest.push("--resume", "auto");
  return [...program, ...rest].map(quote).join(" ");
}
