// A connection accepted here, on its way to a channel and to its end: held, opening, running, over.
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { Channel, Session } from '../model/session.ts';
import type { Arrival } from './arrival.ts';
import { splice, type Traffic } from './splice.ts';

/** How a kind of forward gets from an accepted connection to a channel. */
export type OpenWay = (request: OpenRequest) => Promise<Opened>;

export interface OpenRequest {
  readonly arrival: Arrival;
  readonly session: Session;
  /** Aborted when the client leaves or the connection is reset. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Until then (wall clock) a client may wait for a server of which nobody knows yet whether it lives. */
  readonly patientUntilMs: number;
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
  /** See OpenRequest. */
  patientUntilMs(): number;
  /** The link was lost before anything of the client reached the target: hold it again. */
  again(session: Session): void;
  /** Called exactly once: its end, with the fault if it was one. */
  over(error: TunnelError | null): void;
}

export interface Connection {
  /** The link is there. */
  serve(session: Session, open: OpenWay): void;
  /** Ends it now, as a fault. */
  reset(error: TunnelError): void;
}

/** How long a client may take to read its last bytes. */
const farewellMs = 5000;

export function createConnection(parts: ConnectionParts): Connection {
  const { arrival } = parts;
  let over = false;
  let abort: AbortController | null = null;
  let running: { reset(reason: string): void } | null = null;
  let resetBy: TunnelError | null = null;

  const finish = (error: TunnelError | null): void => {
    if (over) return;
    over = true;
    abort?.abort();
    parts.over(error);
  };
  const fail = (error: TunnelError): void => {
    arrival.reset();
    finish(error);
  };
  const run = (channel: Channel, first: Buffer | undefined): void => {
    const { socket } = arrival;
    const { early, ended } = arrival.release();
    if (first !== undefined) socket.write(first);
    running = splice({
      socket,
      channel,
      early,
      ended,
      traffic: parts.traffic,
      finished: (fate) => finish(fate.failed ? (resetBy ?? flowError(fate.reason)) : null),
    });
  };
  const sayFarewell = (bytes: Buffer, error: TunnelError): void => {
    const { socket } = arrival;
    arrival.release();
    socket.on('error', () => undefined); // it is over either way
    const cancel = parts.clock.schedule(farewellMs, () => socket.destroy());
    socket.once('close', cancel);
    socket.resume();
    socket.end(bytes, () => socket.destroy());
    finish(error);
  };
  const settle = (opened: Opened): void => {
    if (over || arrival.gone()) {
      if (opened.kind === 'channel') discard(opened.channel);
      return;
    }
    if (opened.kind === 'channel') run(opened.channel, opened.first);
    else sayFarewell(opened.bytes, opened.error);
  };

  return {
    serve(session, open) {
      if (over) return;
      const controller = new AbortController();
      abort = controller;
      arrival.watch({ left: () => finish(null) });
      if (arrival.gone()) return finish(null);
      const { signal } = controller;
      const patientUntilMs = parts.patientUntilMs();
      open({ arrival, session, signal, clock: parts.clock, patientUntilMs }).then(
        settle,
        (thrown: unknown) => {
          if (over) return;
          const error = asTunnelError(thrown);
          if (error.code === 'LINK_LOST') parts.again(session);
          else fail(error);
        },
      );
    },
    reset(error) {
      resetBy = error;
      if (running === null) fail(error);
      else running.reset(error.message);
    },
  };
}

/** Closes a channel that nobody wants any more. It must be attached, or its close would never be read. */
function discard(channel: Channel): void {
  channel.attach({
    data: () => undefined,
    end: () => undefined,
    closed: () => undefined,
    drain: () => undefined,
  });
  channel.close();
}

function flowError(reason: string | null): TunnelError {
  return new TunnelError('LINK_LOST', `connection failed, on the tunnel: ${reason ?? 'link lost'}`);
}
