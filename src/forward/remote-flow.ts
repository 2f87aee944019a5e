// A connection that came from the server: dialled here, then joined. The mirror of connection.ts.
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import { GiveUp } from '../model/give-up.ts';
import type { Channel } from '../model/session.ts';
import { flowError } from './connection.ts';
import type { ConnectHere, Connected } from './remote-target.ts';
import type { Listed } from './roster.ts';
import { Splice, type Traffic } from './splice.ts';

export interface RemoteFlowParts {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly traffic: Traffic;
  /** Called exactly once: its end, with the fault if it was one. */
  over(error: TunnelError | null): void;
}

export class RemoteFlow implements Listed {
  place = -1;
  readonly #parts: RemoteFlowParts;
  readonly #leaving = new GiveUp();
  #over = false;
  #running: Splice | null = null;
  #resetBy: TunnelError | null = null;

  constructor(parts: RemoteFlowParts) {
    this.#parts = parts;
  }

  start(connect: ConnectHere): void {
    const { channel, clock } = this.#parts;
    const left = (clean: boolean): void => this.#stop(clean ? null : flowError('link lost'));
    connect({ channel, clock, signal: this.#leaving, left })
      .then((connected) => this.#run(connected))
      .catch((thrown: unknown) => this.#stop(asTunnelError(thrown)));
  }

  /** Ends it now, as a fault. */
  reset(error: TunnelError): void {
    this.#resetBy = error;
    if (this.#running === null) this.#stop(error);
    else this.#running.reset(error.message);
  }

  #run(connected: Connected): void {
    if (this.#over) return void connected.socket.destroy();
    this.#running = new Splice({
      ...connected,
      traffic: this.#parts.traffic,
      early: [],
      ended: false,
      finished: ({ failed, reason }) =>
        this.#finish(failed ? (this.#resetBy ?? flowError(reason ?? 'link lost')) : null),
    });
  }

  #stop(error: TunnelError | null): void {
    this.#finish(error);
    this.#leaving.abort();
    this.#parts.channel.close();
  }

  #finish(error: TunnelError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.over(error);
  }
}
