// Handlers of commands that change what is up: they wait for a replacement that is under way, and those that bring tunnels up are counted.
import type { Handlers } from '../control/connection.ts';

export interface Guards {
  /** Resolves when the handler may run. Throws where another supervisor serves now. */
  readonly settled: () => Promise<void>;
  /** Before the engine wants something, only this count knows: 1 when a command begins, -1 when it is over. */
  readonly counted: (by: 1 | -1) => void;
}

export function guardedHandlers(handlers: Handlers, { settled, counted }: Guards): Handlers {
  const after =
    <P, C, R>(handler: (params: P, call: C) => Promise<R>) =>
    async (params: P, call: C): Promise<R> => {
      await settled();
      return handler(params, call);
    };
  const bringing =
    <P, C, R>(handler: (params: P, call: C) => Promise<R>) =>
    async (params: P, call: C): Promise<R> => {
      counted(1);
      try {
        return await after(handler)(params, call);
      } finally {
        counted(-1);
      }
    };
  const { up, restart, down, reload } = handlers;
  return {
    ...handlers,
    up: bringing(up),
    restart: bringing(restart),
    down: after(down),
    reload: after(reload),
  };
}
