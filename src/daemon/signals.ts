// Signals and last moments of a supervisor's process.
import type { Cancel } from '../model/clock.ts';

export interface SignalHandlers {
  /** SIGTERM or SIGINT, the first time. */
  readonly end: (signal: NodeJS.Signals) => void;
  /** The second time: at once. */
  readonly endNow: () => void;
  /** SIGHUP. */
  readonly reload: () => void;
  /** Something was thrown where nobody catches it. The process ends after this. */
  readonly crash: (thrown: unknown) => void;
}

const ignore = (): void => undefined;

const unixOnly: [string, () => void][] = [
  // The terminal or the log reader that went away is no reason to end.
  ['SIGPIPE', ignore],
];

/**
 * Takes SIGUSR1, for good: untaken, Node opens a debugger on it, for every process of this machine to use. From the
 * first moment of a supervisor to its last, since it holds secrets all the time.
 */
export function refuseDebugger(): void {
  if (process.platform !== 'win32' && !process.listeners('SIGUSR1').includes(ignore))
    process.on('SIGUSR1', ignore);
}

/** Takes the signals of this process. Answers what gives them back. */
export function takeSignals(handlers: SignalHandlers): Cancel {
  let asked = false;
  const end = (signal: NodeJS.Signals): void => {
    if (asked) return handlers.endNow();
    asked = true;
    handlers.end(signal);
  };
  const crash = (thrown: unknown): void => handlers.crash(thrown);
  const taken: [string, (argument: never) => void][] = [
    ['SIGTERM', end],
    ['SIGINT', end],
    ['SIGHUP', handlers.reload],
    ['uncaughtException', crash],
    ['unhandledRejection', crash],
  ];
  if (process.platform !== 'win32') taken.push(...unixOnly);
  for (const [name, handler] of taken) process.on(name, handler as (...all: unknown[]) => void);
  return () => {
    for (const [name, handler] of taken) process.off(name, handler as (...all: unknown[]) => void);
  };
}
