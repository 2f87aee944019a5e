// What one tunnel may ask of the rest of the engine. Pure types.
import type { CreateCarrier } from '../model/carrier.ts';
import type { Clock } from '../model/clock.ts';
import type { TunnelState } from '../model/status.ts';
import type { AddressBook } from './address-book.ts';
import type { EngineLog, Person } from './engine.ts';
import type { Links } from './links.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly createCarrier: CreateCarrier;
  readonly log: EngineLog;
  readonly links: Links;
  /** Who attends a tunnel. */
  readonly persons: (tunnel: string) => readonly Person[];
  readonly addresses: AddressBook;
  readonly preferredPort: (tunnel: string, forward: string) => number | null;
  readonly portChosen: (tunnel: string, forward: string, port: number) => void;
  /** Null for a tunnel that does not exist. */
  readonly stateOf: (tunnel: string) => TunnelState | null;
  readonly changed: (tunnel: string) => void;
}
