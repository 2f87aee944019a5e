// Jumps: the links of the jump hosts that a link rides on, one for each of its ways that has one.
import type { TunnelError } from '../errors.ts';
import type { Way } from '../model/host.ts';
import type { DialStep, Session } from '../model/session.ts';
import type { Hearer } from './engine.ts';
import type { LinkState } from './link-machine.ts';
import type { LinkUser } from './link-users.ts';
import type { LinkSnapshot } from './status.ts';

/** The link to a jump host, as a link that rides on it sees it. */
export interface JumpLink {
  readonly id: string;
  readonly state: LinkState;
  /** Null unless up. */
  readonly session: Session | null;
  snapshot(): LinkSnapshot;
  loginSteps(): readonly DialStep[];
  release(user: LinkUser, drain: boolean): void;
  hurried(user: LinkUser): void;
  kick(): void;
  tryNow(): void;
  answered(): void;
  examine(): void;
  repeatTalk(hearer: Hearer): void;
  /** The age for a rotation, as its users want it, may be another one now. */
  replan(): void;
}

/** Finds or makes the link to the last hop of a way, and uses it. */
export type AcquireJump = (way: Way, user: LinkUser) => JumpLink;

export class Jumps {
  readonly #ways: readonly Way[];
  readonly #user: LinkUser;
  readonly #acquire: AcquireJump;
  readonly #links = new Map<number, JumpLink>();
  readonly #waiting = new Set<() => void>();

  constructor(ways: readonly Way[], user: LinkUser, acquire: AcquireJump) {
    this.#ways = ways;
    this.#user = user;
    this.#acquire = acquire;
  }

  /** The links of the ways in use or being tried. */
  get links(): readonly JumpLink[] {
    return [...this.#links.values()];
  }

  /** The ids of these links and of the links that they ride on. */
  ids(): readonly string[] {
    return this.links.flatMap((link) => [link.id, ...link.snapshot().rides]);
  }

  at(index: number): JumpLink | null {
    return this.#links.get(index) ?? null;
  }

  /**
   * Resolves with the jump host's session once its link is up; rejects with the link's failure, at once if that waits or is
   * blocked: its own backoff decides on the next try, whoever rides on it.
   */
  whenUp(index: number, signal: AbortSignal): Promise<Session> {
    this.#current(index);
    return this.#whenUp(index, signal);
  }

  /** Fresh links took the place of some (`restart`). A live session stays on its jump host, and follows later. */
  follow(): void {
    for (const index of Array.from(this.#links.keys())) this.#current(index);
    this.look();
  }

  /** A jump host changed: attempts that wait for one look again. */
  look(): void {
    for (const look of Array.from(this.#waiting)) look();
  }

  /** The link that rides on them has come to be in haste, or is no longer. */
  hurried(): void {
    for (const link of this.#links.values()) link.hurried(this.#user);
  }

  /** Leaves every jump host but the one of the way in use. `drain`: a session that was replaced may still ride on another. */
  keepOnly(index: number | null, drain = false): void {
    for (const [other, link] of this.#links) {
      if (other === index) continue;
      this.#links.delete(other);
      link.release(this.#user, drain);
    }
  }

  #current(index: number): JumpLink {
    const held = this.#links.get(index);
    if (held !== undefined && held.session !== null) return held;
    const way = this.#ways[index] as Way;
    const link = this.#acquire(way.slice(0, -1) as unknown as Way, this.#user);
    this.#links.set(index, link);
    if (held !== link) held?.release(this.#user, false);
    return link;
  }

  #whenUp(index: number, signal: AbortSignal): Promise<Session> {
    return new Promise<Session>((resolve, reject) => {
      const end = (): void => {
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(look);
      };
      const fail = (cause: unknown): void => {
        end();
        reject(cause as TunnelError);
      };
      const abort = (): void => fail(signal.reason);
      // Looked up each time: the link may be another one by now.
      const look = (): void => {
        const link = this.#links.get(index);
        if (link === undefined) return;
        if (link.session !== null) {
          end();
          resolve(link.session);
        } else if (link.state.kind === 'waiting' || link.state.kind === 'blocked') fail(link.state.cause);
      };
      if (signal.aborted) return abort();
      this.#waiting.add(look);
      signal.addEventListener('abort', abort, { once: true });
      look();
    });
  }
}
