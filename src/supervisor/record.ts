// The record of one tunnel: its state and since when, its last error, how often it came back. Only `judge` changes the state.
import { TunnelError } from '../errors.ts';
import type { StateChange } from '../model/history.ts';
import type { TunnelState } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { EngineLog } from './engine.ts';
import { forTunnel } from '../model/tunnel-hints.ts';
import { sameStretch, verdictOf } from './status.ts';
import type { LinkSnapshot, TimedError, TunnelFacts, Verdict } from './status.ts';

const levels: Readonly<Record<TunnelState, 'info' | 'warn' | 'error'>> = {
  down: 'info',
  asleep: 'info',
  connecting: 'info',
  up: 'info',
  retrying: 'warn',
  'needs-you': 'error',
  stopping: 'info',
};

export class TunnelRecord {
  readonly #log: EngineLog;
  readonly #tunnel: () => Tunnel;
  readonly #moved: (change: StateChange) => void;
  #verdict: Verdict = { state: 'down', error: null, retryAtMs: null, attempt: 0 };
  #sinceMs: number | null = null;
  #lastError: TimedError | null = null;
  #reconnects = 0;
  #links = '';
  /** The state that the log told last, whatever the link did meanwhile. */
  #told: TunnelState = 'down';

  constructor(tunnel: () => Tunnel, log: EngineLog, moved: (change: StateChange) => void) {
    this.#tunnel = tunnel;
    this.#moved = moved;
    this.#log = log;
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** When the tunnel came into its state, wall clock; null before the first `up`. */
  get sinceMs(): number | null {
    return this.#sinceMs;
  }

  /** Since it was last brought up. */
  get lastError(): TimedError | null {
    return this.#lastError;
  }

  /** Since it was last brought up. */
  get reconnects(): number {
    return this.#reconnects;
  }

  /** The tunnel is brought up anew. */
  begin(): void {
    this.#lastError = null;
    this.#reconnects = 0;
  }

  cameBack(times: number): void {
    this.#reconnects += times;
  }

  /** Something is left on the server after the tunnel was taken down. */
  leftBehind(errors: readonly TunnelError[], atMs: number): void {
    const message = errors.map((error) => error.message).join('; ');
    this.#lastError = { error: new TunnelError('FORWARD_REFUSED', message), atMs };
  }

  /** Connections of the tunnel were lost with an old session: the tunnel itself is up. */
  suffered({ error, atMs }: TimedError): void {
    this.#lastError = { error: forTunnel(error, this.#tunnel()), atMs };
  }

  judge(facts: TunnelFacts): void {
    if (facts.link !== null) this.#tellLink(facts.link);
    const before = this.#verdict;
    const now = named(verdictOf(facts), this.#tunnel());
    // A question is one trouble from when it is asked until it is answered.
    const asked = facts.link?.question != null && before.error?.error.message === now.error?.error.message;
    this.#verdict = asked ? { ...now, error: before.error } : now;
    const { state, error } = this.#verdict;
    // a login that only waits for its next code has not failed: the failure before it stays the last
    if (error !== null && error.error.facts.waits !== true) this.#lastError = error;
    if (state === before.state) return;
    if (!sameStretch(state, before.state)) this.#sinceMs = facts.now;
    this.#tell(facts, before.state);
    const why = { code: error?.error.code ?? null, message: error?.error.message ?? null };
    this.#moved({ atMs: facts.now, tunnel: this.#tunnel().name, from: before.state, to: state, ...why });
  }

  /** The link tells its own changes once for all its tunnels, and a listener tells that a port is taken: `debug` here. */
  #tell({ link, listenFailure }: TunnelFacts, from: TunnelState): void {
    const { state, error } = this.#verdict;
    const tunnel = this.#tunnel().name;
    const why = error === null ? '' : `: ${error.error.message}`;
    const about = error === null ? {} : { code: error.error.code };
    const ofLink =
      (state === 'connecting' || state === 'retrying' || state === 'needs-you') &&
      (link === null
        ? error === null
        : link.session === null && (listenFailure === null || state === 'needs-you'));
    const known = ofLink || listenFailure !== null || (state === 'up' && this.#told === 'up');
    if (!ofLink) this.#told = state;
    const level = known ? 'debug' : levels[state];
    this.#log(level, 'tunnel.state', `${tunnel} is ${state}${why}`, { tunnel, from, ...about });
  }

  /** Lines of links name no tunnel: `logs NAME` finds those of this tunnel by this line. */
  #tellLink({ id, rides }: LinkSnapshot): void {
    const links = [id, ...rides].join(' over ');
    if (links === this.#links) return;
    this.#links = links;
    const tunnel = this.#tunnel().name;
    this.#log('info', 'tunnel.link', `${tunnel} goes by ${links}`, { tunnel, link: id, rides });
  }
}

/** The hint names this tunnel, whichever host failed. */
function named(verdict: Verdict, tunnel: Tunnel): Verdict {
  const { error } = verdict;
  return error === null
    ? verdict
    : { ...verdict, error: { ...error, error: forTunnel(error.error, tunnel) } };
}
