// The tally: what a carrier counts, and the last thing that went wrong (SPEC 4).
import type { TunnelError } from '../errors.ts';
import type { CarrierParts, CarrierStatus } from '../model/carrier.ts';
import type { Traffic } from './splice.ts';

/** The part of a carrier's status that is about its connections. */
export type TallyStatus = Pick<
  CarrierStatus,
  'open' | 'total' | 'failed' | 'bytesIn' | 'bytesOut' | 'error' | 'broken' | 'errorAtMs'
>;

export interface Tally {
  readonly traffic: Traffic;
  accepted(): void;
  /** A connection ended: by a fault when `error` is given. Pairs with `accepted`. */
  ended(error: TunnelError | null): void;
  /** A connection was reset before anybody served it. */
  turnedAway(error: TunnelError): void;
  /** The forward itself does not serve; null: it does again. */
  broken(error: TunnelError | null): void;
  status(held: number): TallyStatus;
  reset(): void;
}

/** Connections come and go by the thousand: after one is told of, the next are told of together. */
const quietMs = 20;

/** `changed`, at once when the last one is some time ago, else in a moment, once for all. It decides nothing: no clock. */
function seldom({ events }: CarrierParts): () => void {
  let quiet = false;
  let missed = false;
  const tell = (): void => {
    quiet = true;
    missed = false;
    setTimeout(over, quietMs);
    events.changed();
  };
  const over = (): void => {
    quiet = false;
    if (missed) tell();
  };
  return () => {
    if (quiet) missed = true;
    else tell();
  };
}

export function createTally(parts: CarrierParts): Tally {
  const cameOrWent = seldom(parts);
  const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
  let living = 0;
  let total = 0;
  let failed = 0;
  let trouble: { error: TunnelError; broken: boolean; atMs: number } | null = null;
  return {
    traffic,
    accepted() {
      living += 1;
      total += 1;
      cameOrWent();
    },
    ended(error) {
      living -= 1;
      if (error === null) return cameOrWent();
      failed += 1;
      if (trouble?.broken !== true) trouble = { error, broken: false, atMs: parts.clock.now() };
      parts.events.log('info', 'connection-failed', error.message, { code: error.code });
      parts.events.changed();
    },
    turnedAway(error) {
      total += 1;
      failed += 1;
      if (trouble?.broken !== true) trouble = { error, broken: false, atMs: parts.clock.now() };
      cameOrWent();
    },
    broken(error) {
      if (error === null && trouble?.broken !== true) return;
      trouble = error === null ? null : { error, broken: true, atMs: parts.clock.now() };
      parts.events.changed();
    },
    status: (held) => ({
      open: living - held,
      total,
      failed,
      bytesIn: traffic.bytesIn,
      bytesOut: traffic.bytesOut,
      error: trouble?.error ?? null,
      broken: trouble?.broken ?? false,
      errorAtMs: trouble?.atMs ?? null,
    }),
    reset() {
      total = 0;
      failed = 0;
      traffic.bytesIn = 0;
      traffic.bytesOut = 0;
      if (trouble?.broken === false) trouble = null;
    },
  };
}
