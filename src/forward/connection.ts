// A connection accepted here, on its way to a channel and to its end: held, opening, running, over.
import type { Socket } from 'node:net';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import { GiveUp, type GiveUpSignal } from '../model/give-up.ts';
import type { Channel, Session } from '../model/session.ts';
import type { Arrival } from './arrival.ts';
import type { Listed } from './roster.ts';
import { Splice, type Traffic } from './splice.ts';

/** How a kind of forward gets from an accepted connection to a channel. */
export type OpenWay = (request: OpenRequest) => Promise<Opened>;

export interface OpenRequest {
  readonly arrival: Arrival;
  readonly session: Session;
  /** Aborted when the client leaves or the connection is reset. */
  readonly signal: GiveUpSignal;
  readonly clock: Clock;
  /** Until then (wall clock) a client may wait for a server of which nobody knows yet whether it lives. */
  readonly patientUntilMs: number;
  /** A further connection that belongs to the forward (FTP's data): counted, drained and reset like any other. */
  adopt(socket: Socket, open: OpenWay): void;
  log(level: 'debug' | 'info' | 'warn', event: string, message: string): void;
}

export type Opened =
  /** `first` goes to the client before anything of the channel. */
  | { readonly kind: 'channel'; readonly channel: Channel; readonly first?: Buffer }
  /** Refused in the client's own protocol: these are its last bytes, then a clean end. */
  | { readonly kind: 'farewell'; readonly bytes: Buffer; readonly error: TunnelError };

export interface ConnectionParts {
  readonly arrival: Arrival;
  readonly clock: Clock;
  readonly traffic: Traffic;
  /** Makes the request for an OpenWay. */
  request(session: Session, signal: GiveUpSignal): OpenRequest;
  /** The link was lost before anything of the client reached the target: hold it again. */
  again(session: Session, error: TunnelError): void;
  /** Called exactly once: its end, with the fault if it was one. */
  over(error: TunnelError | null): void;
}

/** How long a client may take to read its last bytes. */
const farewellMs = 5000;

export class Connection implements Listed {
  place = -1;
  readonly #parts: ConnectionParts;
  readonly #leaving = new GiveUp();
  #over = false;
  #running: Splice | null = null;
  #resetBy: TunnelError | null = null;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  get arrival(): Arrival {
    return this.#parts.arrival;
  }

  /** The link is there. */
  serve(session: Session, open: OpenWay): void {
    const { arrival } = this.#parts;
    if (this.#over) return;
    arrival.watch({ left: () => this.#finish(null) });
    if (arrival.gone()) return this.#finish(null);
    open(this.#parts.request(session, this.#leaving))
      .then((opened) => this.#settle(opened))
      .catch((thrown: unknown) => this.#failed(asTunnelError(thrown), session));
  }

  /** Ends it now, as a fault. */
  reset(error: TunnelError): void {
    this.#resetBy = error;
    if (this.#running !== null) return this.#running.reset(error.message);
    this.#parts.arrival.reset();
    this.#finish(error);
  }

  #failed(error: TunnelError, session: Session): void {
    if (this.#over) return;
    if (error.code === 'LINK_LOST') this.#parts.again(session, error);
    else this.reset(error);
  }

  #settle(opened: Opened): void {
    const late = this.#over || this.#parts.arrival.gone();
    if (opened.kind === 'channel') {
      if (late) discard(opened.channel);
      else this.#run(opened.channel, opened.first);
    } else if (!late) this.#sayFarewell(opened.bytes, opened.error);
  }

  #run(channel: Channel, first: Buffer | undefined): void {
    const { arrival, traffic } = this.#parts;
    const { early, ended } = arrival.release();
    if (first !== undefined) arrival.socket.write(first);
    this.#running = new Splice({
      socket: arrival.socket,
      channel,
      early,
      ended,
      traffic,
      finished: ({ failed, reason }) =>
        this.#finish(failed ? (this.#resetBy ?? flowError(reason ?? 'link lost')) : null),
    });
  }

  #sayFarewell(bytes: Buffer, error: TunnelError): void {
    const { arrival, clock } = this.#parts;
    const { socket } = arrival;
    arrival.release();
    socket.on('error', () => undefined); // it is over either way
    const cancel = clock.schedule(farewellMs, () => socket.destroy());
    socket.once('close', cancel);
    socket.on('data', () => undefined); // what it still says is read, or the close would be a reset to it
    socket.end(bytes, () => socket.destroy());
    this.#finish(error);
  }

  #finish(error: TunnelError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#leaving.abort();
    this.#parts.over(error);
  }
}

/** Closes a channel that nobody wants any more. */
function discard(channel: Channel): void {
  channel.attach({
    data: () => undefined,
    end: () => undefined,
    closed: () => undefined,
    drain: () => undefined,
  });
  channel.close();
}

export function flowError(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `connection broken: ${why}`);
}
