// The words between a supervisor and the one that replaces it, over the pipe that the old one starts the new one with. It is the
// one way for secrets to the new one: no argument, no environment and no file ever holds them.
import type { ErrorReport } from '../errors.ts';
import type { HandedListener, HandedTunnel } from '../model/handover.ts';
import type { KeptReadings } from './config-source.ts';
import type { HandedLease } from './leases.ts';

/** Grows when something changes its meaning. Keys are only ever added within one. */
export const handoverFormat = 1;

/** Descriptors of a new supervisor: this pipe, and from the next one on the listeners, in their order. */
export const pipeDescriptor = 3;

export interface HandedState {
  readonly format: number;
  readonly version: string;
  readonly pid: number;
  /** Of the lock that the old one holds. */
  readonly lock: string;
  readonly tunnels: readonly HandedTunnel[];
  /** Their descriptors are those of the new process. */
  readonly listeners: readonly HandedListener[];
  readonly attended: readonly string[];
  readonly passwords: readonly { readonly name: string; readonly value: string }[];
  readonly passphrases: readonly {
    readonly path: string;
    readonly logins: readonly string[];
    readonly value: string;
  }[];
  /** In which environments ssh_config was read. */
  readonly readings: KeptReadings;
  /** Wanted when the supervisor before the old one ended, and not brought back yet. */
  readonly restoring: readonly string[];
  /** That commands speak with the old one. */
  readonly protocol?: number;
  /** Of the tunnels, those that are up for commands alone. */
  readonly leased?: readonly HandedLease[];
}

export type FromOld =
  | { readonly kind: 'state'; readonly state: HandedState }
  /** Nothing is written, and no command is answered, by the old one any more: the new one takes over now. */
  | { readonly kind: 'go' }
  | { readonly kind: 'left'; readonly tunnel: string }
  | { readonly kind: 'downed'; readonly id: number }
  /** Connections that the old one still carries. */
  | { readonly kind: 'carries'; readonly connections: number };

export type FromNew =
  /** Everything is loaded, and the config is read. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'serving'; readonly pid: number; readonly version: string }
  | { readonly kind: 'failed'; readonly error: ErrorReport }
  /** The new one is about to ask a server for what the old one has there for a tunnel. */
  | { readonly kind: 'leave'; readonly tunnel: string }
  | {
      readonly kind: 'down';
      readonly id: number;
      readonly tunnels: readonly string[];
      readonly drainMs: number;
    }
  | { readonly kind: 'end' };

/** One end of the pipe. */
export interface HandoverPipe<Heard, Said> {
  /** Dropped where the other end is gone. */
  send(message: Said): void;
  /** One listener at a time, for messages, and for the end of the other process. */
  listen(heard: (message: Heard) => void, gone: () => void): void;
  /** Keeps what comes for the next listener. */
  keep(): void;
}

/** What a child process and a process that is one have in common. */
interface PipeEnd {
  readonly connected: boolean;
  send?: ((message: object, callback: (error: Error | null) => void) => boolean) | undefined;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  once(event: 'disconnect', listener: () => void): unknown;
}

export function openHandoverPipe<Heard, Said extends object>(end: PipeEnd): HandoverPipe<Heard, Said> {
  const waiting: Heard[] = [];
  let isGone = false;
  let listener: { heard: (message: Heard) => void; gone: () => void } | null = null;
  end.on('message', (message) => {
    if (listener === null) waiting.push(message as Heard);
    else listener.heard(message as Heard);
  });
  end.once('disconnect', () => {
    isGone = true;
    listener?.gone();
  });
  return {
    send(message) {
      if (end.connected) end.send?.(message, () => undefined); // 'disconnect' tells of the end
    },
    listen(heard, gone) {
      listener = { heard, gone };
      for (const message of waiting.splice(0)) heard(message);
      if (isGone || !end.connected) gone();
    },
    keep() {
      listener = null;
    },
  };
}
