// What was wanted when the last supervisor ended unexpectedly, and how a supervisor brings up tunnels by itself.
import type { CallerEnvironment } from '../model/session.ts';
import type { Engine, EngineLog, UpRequest } from '../supervisor/engine.ts';

/**
 * Brings up again what was wanted when the last supervisor ended: once, with the first `up`, which brings an agent along, or
 * by itself soon after the start.
 */
export interface Restoration {
  /** Names that still wait to be brought up again; empty once they were. */
  readonly waiting: readonly string[];
  /**
   * Brings them up, the first time it is called. `agents`: those of the command at hand, newest first; `except`: what
   * that command brings up itself, on its own terms.
   */
  now(agents: readonly string[], except: readonly string[]): void;
  /** Names that were brought up again and that nobody was told of yet, for a command that tells. */
  untold(): readonly string[];
}

export function createRestoration(
  names: readonly string[],
  parts: { readonly engine: Engine; readonly log: EngineLog; readonly environment: CallerEnvironment },
): Restoration {
  const { engine, log, environment } = parts;
  let waiting = names;
  let untold: readonly string[] = [];
  return {
    untold() {
      const told = untold;
      untold = [];
      return told;
    },
    get waiting() {
      return waiting;
    },
    now(agents, except) {
      const known = new Set(engine.known().map(({ name }) => name));
      const present = waiting.filter((name) => known.has(name) && !except.includes(name));
      const gone = waiting.filter((name) => !known.has(name));
      waiting = [];
      if (present.length > 0) {
        log('info', 'restore', `brings up again what was wanted: ${present.join(', ')}`);
        engine.up(present, unattended(environment, agents));
        untold = present;
      }
      if (gone.length > 0) log('warn', 'restore', `no longer in the config: ${gone.join(', ')}`);
    },
  };
}

/** The request of a supervisor that brings up tunnels by itself: nobody is there, nothing is accepted. */
export function unattended(environment: CallerEnvironment, agents: readonly string[]): UpRequest {
  const agentSockets = [...agents, ...environment.agentSockets];
  return {
    acceptNew: false,
    remap: false,
    personPresent: false,
    environment: { ...environment, agentSockets },
  };
}
