// A channel on its way: settled once, by the server's answer, by time, by who gave up, or by the link's end.
import { TunnelError } from '../../errors.ts';
import type { Cancel, Clock } from '../../model/clock.ts';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import type { GiveUpSignal } from '../../model/give-up.ts';
import type { Channel } from '../../model/session.ts';
import { forwardRefused } from '../failure.ts';

export interface OpenLimits {
  readonly timeoutMs: number;
  readonly signal?: GiveUpSignal | undefined;
}

export class Opening {
  /** What the server may send at once. */
  readonly window: number;
  /** The number stays taken until the server has answered, also when nobody waits for that any more. */
  readonly channel: Promise<Channel>;
  readonly #to: Endpoint;
  readonly #limits: OpenLimits;
  readonly #cancel: Cancel;
  #resolve: (channel: Channel) => void = () => undefined;
  #reject: (error: TunnelError) => void = () => undefined;
  #settled = false;

  constructor(to: Endpoint, window: number, limits: OpenLimits, clock: Clock) {
    this.window = window;
    this.#to = to;
    this.#limits = limits;
    this.channel = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#cancel = clock.schedule(limits.timeoutMs, this.#timedOut);
    limits.signal?.addEventListener('abort', this.#gaveUp);
  }

  /** A confirmation that comes too late is closed again. */
  opened(channel: Channel): void {
    if (this.#settle()) this.#resolve(channel);
    else channel.close();
  }

  refused(reason: number, words: string): void {
    if (this.#settle()) this.#reject(forwardRefused(this.#to, reason, words));
  }

  lost(why: TunnelError): void {
    if (this.#settle()) this.#reject(why);
  }

  readonly #timedOut = (): void => {
    if (this.#settle()) this.#reject(openTimedOut(this.#to, this.#limits.timeoutMs));
  };

  readonly #gaveUp = (): void => {
    if (this.#settle()) this.#reject(gaveUp(this.#to));
  };

  /** False when it was settled before. */
  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancel();
    this.#limits.signal?.removeEventListener('abort', this.#gaveUp);
    return true;
  }
}

export function notOpen(): TunnelError {
  return new TunnelError('LINK_LOST', 'channel open failed: the session is not open');
}

function openTimedOut(to: Endpoint, timeoutMs: number): TunnelError {
  return new TunnelError(
    'TIMED_OUT',
    `connection to ${formatEndpoint(to)} failed: the server gave no answer in ${timeoutMs / 1000}s`,
    {
      hint: 'the target may drop packets silently: check its firewall and address',
      facts: { layer: 'channel' },
    },
  );
}

export function gaveUp(to: Endpoint): TunnelError {
  return new TunnelError(
    'LINK_LOST',
    `connection to ${formatEndpoint(to)} given up: nobody waits for it any more`,
    {
      facts: { layer: 'channel', aborted: true },
    },
  );
}
