// Signals of a supervisor's process, and errors that nobody catches: only a request to end ends the process.
import { constants } from 'node:os';
import type { Cancel } from '../model/clock.ts';

export interface SignalHandlers {
  /** SIGTERM, SIGINT or SIGQUIT, the first time. */
  readonly end: (signal: NodeJS.Signals) => void;
  /** The second time: at once. */
  readonly endNow: () => void;
  /** SIGHUP. */
  readonly reload: () => void;
  /** One that means nothing here, and would end a process that does not take it (signal(7)). */
  readonly strange: (signal: NodeJS.Signals) => void;
  /** Something was thrown where nobody catches it. The process goes on after this. */
  readonly bug: (thrown: unknown) => void;
}

const ignore = (): void => undefined;

/** Not among them: those of a fault in the program itself, after which nothing can go on (SIGSEGV, SIGTRAP, SIGABRT …). */
const strangers = [
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGPROF',
  'SIGIO',
  'SIGPWR',
  'SIGSTKFLT',
  'SIGXCPU',
  'SIGXFSZ',
] as const;

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
  const bug = (thrown: unknown): void => handlers.bug(thrown);
  const strange = (signal: NodeJS.Signals): void => handlers.strange(signal);
  const taken: [string, (argument: never) => void][] = [
    ['SIGTERM', end],
    ['SIGINT', end],
    ['SIGHUP', handlers.reload],
    ['uncaughtException', bug],
    ['unhandledRejection', bug],
  ];
  if (process.platform !== 'win32') {
    taken.push(['SIGQUIT', end]);
    taken.push(['SIGPIPE', ignore]); // the terminal or the log reader that went away is no reason to end
    for (const name of strangers) if (name in constants.signals) taken.push([name, strange]);
  }
  for (const [name, handler] of taken) process.on(name, handler as (...all: unknown[]) => void);
  return () => {
    for (const [name, handler] of taken) process.off(name, handler as (...all: unknown[]) => void);
  };
}

/** Requests that a thread works on: one in a dead mount, or at a name server that is not there, may never come back. */
const inThreads = /^(FSReq|GetAddrInfoReq|GetNameInfoReq)/;

/** Ends this process now. exit(3) waits for its threads, so where one is at work only the last signal ends it. */
export function leave(code: number): never {
  if (process.getActiveResourcesInfo().some((name) => inThreads.test(name))) {
    process.emit('exit', code); // what exit(3) would have done for its children
    process.kill(process.pid, 'SIGKILL');
  }
  process.exit(code);
}
