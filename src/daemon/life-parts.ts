// What a supervisor lives on, put together by main.ts. Pure types.
import type { Wanted } from '../control/wanted.ts';
import type { Clock } from '../model/clock.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { PlaceFacts, SupervisorPlaces } from '../paths.ts';
import type { Engine } from '../supervisor/engine.ts';
import type { SupervisorLock } from './claim.ts';
import type { Bringing, KeptReadings, Loading } from './config-source.ts';
import type { OutlivedLog } from './log.ts';
import type { Predecessor } from './predecessor.ts';

export interface LifeParts {
  readonly at: SupervisorPlaces;
  readonly facts: PlaceFacts;
  /** Absolute path of the config. */
  readonly config: string;
  readonly clock: Clock;
  readonly project: boolean;
  readonly log: OutlivedLog;
  readonly engine: Engine;
  readonly load: (bringing: Bringing | null) => Loading;
  readonly nativeCrypto: boolean;
  /** Variables that hold secrets: no command gets them. */
  readonly withheld: () => ReadonlySet<string>;
  /** What was wanted when the last supervisor ended. */
  readonly wanted: Wanted;
  /** False: nothing can be remembered on disk. */
  readonly writable: boolean;
  /** Null in the background. */
  readonly foreground: Foreground | null;
  /** The supervisor's own environment, for what it brings up by itself. */
  readonly environment: CallerEnvironment;
  readonly lock: SupervisorLock;
  readonly readings: () => KeptReadings;
  /** The supervisor that this one replaces; null for none. */
  readonly predecessor: Predecessor | null;
}

export interface Foreground {
  /** Empty: all with autostart. */
  readonly selectors: readonly string[];
  readonly drainMs: number;
  /** As for a command: until the first time that a tunnel serves. */
  readonly acceptNew: boolean;
  /** As for a command: until the tunnel is down. */
  readonly remap: boolean;
}
