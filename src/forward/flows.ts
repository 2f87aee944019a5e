// The flows of one forward (SPEC 4): which live now, what is counted of them, the last fault, and the wait until the last has
// left.
import type { TunnelError } from '../errors.ts';
import type { Socket } from 'node:net';
import type { CarrierParts, CarrierStatus } from '../model/carrier.ts';
import type { FlowView } from '../model/flow.ts';
import type { Traffic } from './splice.ts';

/** One forwarded connection, from its accept to its end. */
export interface Flow {
  /** Where it stands among the others: written by `Flows` alone. */
  place: number;
  /** Ends it now, as a fault. */
  reset(error: TunnelError): void;
}

/** The part of a carrier's status that is about its flows. */
type FlowStatus = Pick<
  CarrierStatus,
  'open' | 'total' | 'failed' | 'bytesIn' | 'bytesOut' | 'error' | 'broken' | 'errorAtMs'
>;

interface Fault {
  readonly error: TunnelError;
  readonly broken: boolean;
  readonly atMs: number;
}

/** Flows come and go by the thousand: after one is told of, the next are told of together. With 20 ms it took 4 % of the work of a connection. */
const quietMs = 100;

export class Flows<F extends Flow> {
  readonly traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
  readonly #parts: CarrierParts;
  /**
   * An array: a Set or Map that changes by the thousand keeps what left it. Each table it outgrew points at the next, and
   * once one is old, only a full collection frees them.
   */
  readonly #living: F[] = [];
  #total = 0;
  #failed = 0;
  #fault: Fault | null = null;
  #quiet = false;
  #missed = false;
  #waiting: (() => void)[] = [];

  constructor(parts: CarrierParts) {
    this.#parts = parts;
  }

  add(flow: F): void {
    flow.place = this.#living.length;
    this.#living.push(flow);
    this.#total += 1;
    this.#cameOrWent();
  }

  /** A flow has ended: by a fault when `error` is given. Once is enough: a flow that is not here changes nothing. */
  remove(flow: F, error: TunnelError | null): void {
    if (this.#living[flow.place] !== flow) return;
    const last = this.#living.pop();
    if (last !== undefined && last !== flow) {
      this.#living[flow.place] = last;
      last.place = flow.place;
    }
    if (error === null) this.#cameOrWent();
    else this.#count(error);
    if (this.#living.length === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** A connection was reset before anybody served it. */
  turnedAway(error: TunnelError): void {
    this.#total += 1;
    this.#failed += 1;
    this.#remember(error);
    this.#cameOrWent();
  }

  /** The forward itself does not serve; null: it does again. */
  broken(error: TunnelError | null): void {
    if (error === null && this.#fault?.broken !== true) return;
    this.#fault = error === null ? null : { error, broken: true, atMs: this.#parts.clock.now() };
    this.#parts.events.changed();
  }

  resetAll(error: TunnelError): void {
    for (const flow of this.#living.slice()) flow.reset(error); // they leave meanwhile
  }

  /** Resolves when no flow lives, or after `ms`. */
  async drained(ms: number): Promise<void> {
    if (ms <= 0 || this.#living.length === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.schedule(ms, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Those that live now, at most `most`, in no order. */
  living(most: number): readonly F[] {
    return this.#living.slice(0, most);
  }

  /** `held`: how many of the living wait for the link. */
  status(held: number): FlowStatus {
    return {
      open: this.#living.length - held,
      total: this.#total,
      failed: this.#failed,
      bytesIn: this.traffic.bytesIn,
      bytesOut: this.traffic.bytesOut,
      error: this.#fault?.error ?? null,
      broken: this.#fault?.broken ?? false,
      errorAtMs: this.#fault?.atMs ?? null,
    };
  }

  #count(error: TunnelError): void {
    const { events } = this.#parts;
    this.#failed += 1;
    this.#remember(error);
    events.log('info', 'connection-failed', error.message, { code: error.code });
    events.changed();
  }

  /** The fault of one connection does not replace a fault of the forward itself. */
  #remember(error: TunnelError): void {
    if (this.#fault?.broken !== true) this.#fault = { error, broken: false, atMs: this.#parts.clock.now() };
  }

  /** `changed`, at once when the last one is some time ago, else in a moment, once for all. It decides nothing: no clock. */
  #cameOrWent(): void {
    if (this.#quiet) this.#missed = true;
    else this.#tell();
  }

  #tell(): void {
    this.#quiet = true;
    this.#missed = false;
    setTimeout(this.#quietOver, quietMs);
    this.#parts.events.changed();
  }

  readonly #quietOver = (): void => {
    this.#quiet = false;
    if (this.#missed) this.#tell();
  };
}

/** A connection by its local socket. The socket counts its bytes by itself: nothing is added for it on their way. */
export function viewOf(socket: Socket | null, flow: Pick<FlowView, 'ageMs' | 'running'>): FlowView {
  const { remoteAddress: host, remotePort, localPort } = socket ?? {};
  const isTcp = host !== undefined && remotePort !== undefined;
  return {
    ...flow,
    peer: isTcp ? { host, port: remotePort } : null,
    port: isTcp ? (localPort ?? null) : null,
    bytesIn: socket?.bytesWritten ?? 0,
    bytesOut: socket?.bytesRead ?? 0,
  };
}
