// The links of the engine: one a way key, counted users. A jump host is a link by the same rule.
import type { Clock } from '../model/clock.ts';
import type { Way } from '../model/host.ts';
import type { Dialer } from '../model/session.ts';
import type { Attempts } from './attempts.ts';
import { canonicalJson } from './canonical.ts';
import type { EngineLog, Hearer } from './engine.ts';
import type { LinkUser } from './link-users.ts';
import { Link } from './link.ts';
import { LoginTurns } from './login-turns.ts';
import type { Questions } from './questions.ts';
import { TcpWatch } from './tcp-watch.ts';

export interface LinksParts {
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: EngineLog;
  readonly questions: Questions;
  /** Whoever waits for one of these tunnels. */
  readonly hearers: (tunnels: readonly string[]) => readonly Hearer[];
}

type Ways = readonly [Way, ...Way[]];

/** `alone`: the tunnel with `share: false` that this link is for; null where equal hosts share (SPEC 3). */
export function linkKey(ways: readonly Way[], alone: string | null): string {
  return canonicalJson({ ways, alone });
}

export class Links {
  readonly #parts: LinksParts;
  readonly #tcpWatch: TcpWatch;
  readonly #loginTurns = new LoginTurns<Attempts>();
  readonly #current = new Map<string, Link>();
  /** Every link that is not at rest, superseded ones too. */
  readonly #alive = new Set<Link>();
  readonly #attended = new Set<string>();
  #last = 0;
  #rested: () => void = () => {};

  constructor(parts: LinksParts) {
    this.#parts = parts;
    this.#tcpWatch = new TcpWatch(parts.dialer, parts.clock);
  }

  /** Every link that is not at rest. */
  all(): readonly Link[] {
    return [...this.#alive];
  }

  /** Keys of the links that a person logged in. */
  attended(): readonly string[] {
    return [...this.#attended];
  }

  /** A fresh login of one of the links needs a person. */
  get needsPerson(): boolean {
    return this.#attended.size > 0 || [...this.#alive].some(({ host }) => host.attended === true);
  }

  attend(keys: readonly string[]): void {
    for (const key of keys) this.#attended.add(key);
  }

  acquire(ways: Ways, alone: string | null, user: LinkUser): Link {
    const key = linkKey(ways, alone);
    const link = this.#current.get(key) ?? this.#make(ways, alone, key);
    link.acquire(user);
    return link;
  }

  /**
   * The next user to acquire these ways gets a fresh link. Users of the old one are told to move when the fresh one is up, or
   * at once where the old one serves nobody; the old one ends with its last user.
   */
  renew(ways: Ways, alone: string | null): void {
    const key = linkKey(ways, alone);
    const old = this.#current.get(key);
    if (old === undefined) return;
    const fresh = this.#make(ways, alone, key);
    const move = (): void => {
      for (const user of old.users.all()) user.moved();
    };
    if (old.session === null) return move();
    const stopWatching = fresh.watch(() => {
      if (fresh.session === null) return;
      stopWatching();
      move();
    });
  }

  /** Resolves when every link is at rest, or after `limitMs`. */
  atRest(limitMs: number): Promise<void> {
    if (this.#alive.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.schedule(limitMs, resolve);
      this.#rested = () => {
        if (this.#alive.size > 0) return;
        cancel();
        resolve();
      };
    });
  }

  #make(ways: Ways, alone: string | null, key: string): Link {
    this.#last += 1;
    const host = ways[0].at(-1);
    const link: Link = new Link({
      ...this.#parts,
      id: `${host?.name ?? ''}#${this.#last}`,
      ways,
      tcpWatch: this.#tcpWatch,
      loginTurns: this.#loginTurns,
      acquireJump: (way, user) => this.acquire([way], alone, user),
      attended: {
        get: () => this.#attended.has(key),
        set: (attended) => void (attended ? this.#attended.add(key) : this.#attended.delete(key)),
      },
      resting: (resting) => {
        this.#alive.delete(resting);
        if (this.#current.get(key) === resting) this.#current.delete(key);
        this.#rested();
      },
    });
    this.#current.set(key, link);
    this.#alive.add(link);
    return link;
  }
}
