// Who uses a link, counted: tunnels, and links that ride on this one; and what all of them together ask of the link.
import type { CallerEnvironment } from '../model/session.ts';
import type { Person } from './engine.ts';
import type { BackoffPolicy } from './link-machine.ts';
import type { TimedError } from './status.ts';

/** `stamp` grows with each command: the newest wins. */
export interface StampedEnvironment {
  readonly stamp: number;
  readonly environment: CallerEnvironment;
}

/** What the last command granted, for its own time only. */
export interface Terms {
  readonly acceptNew: boolean;
  readonly personPresent: boolean;
}

export const noTerms: Terms = { acceptNew: false, personPresent: false };

/** A connection is held, or at least somebody waits in `up` or `wait`. */
export type Haste = 'none' | 'waiting' | 'held';

/** What one user wants, or all users of a link. */
export interface Wants {
  /** Names of the tunnels behind it. */
  tunnels(): readonly string[];
  policy(): BackoffPolicy;
  /** The age at which a session is replaced by a fresh one; null: never. */
  rotateMs(): number | null;
  persons(): readonly Person[];
  haste(): Haste;
  terms(): Terms;
  environments(): readonly StampedEnvironment[];
}

/** A tunnel over a link, or a link that rides on it. */
export interface LinkUser extends Wants {
  changed(): void;
  /** A session that the link had replaced is lost, with what still ran over it; the link itself is not. */
  suffered(loss: TimedError): void;
  /** A fresh link of the same kind is up (`restart`): new connections belong there. */
  moved(): void;
}

export class LinkUsers implements Wants {
  readonly #users = new Map<LinkUser, Haste>();
  /** Counted: of a thousand users each comes to wait, and leaves off, by itself. */
  readonly #inHaste: Record<Haste, number> = { none: 0, waiting: 0, held: 0 };

  get size(): number {
    return this.#users.size;
  }

  all(): readonly LinkUser[] {
    return [...this.#users.keys()];
  }

  add(user: LinkUser): void {
    this.#count(user);
  }

  delete(user: LinkUser): boolean {
    const haste = this.#users.get(user);
    if (haste !== undefined) this.#inHaste[haste] -= 1;
    return this.#users.delete(user);
  }

  /** The haste of a user may be another one now. */
  hurried(user: LinkUser): void {
    if (this.#users.has(user)) this.#count(user);
  }

  tunnels(): readonly string[] {
    return [...new Set(this.all().flatMap((user) => user.tunnels()))];
  }

  policy(): BackoffPolicy {
    return mostImpatient(this.all().map((user) => user.policy()));
  }

  rotateMs(): number | null {
    const ages = this.all().flatMap((user) => user.rotateMs() ?? []);
    return ages.length === 0 ? null : Math.min(...ages);
  }

  persons(): readonly Person[] {
    return [...new Set(this.all().flatMap((user) => user.persons()))];
  }

  haste(): Haste {
    if (this.#inHaste.held > 0) return 'held';
    return this.#inHaste.waiting > 0 ? 'waiting' : 'none';
  }

  terms(): Terms {
    const terms = this.all().map((user) => user.terms());
    return {
      acceptNew: terms.some(({ acceptNew }) => acceptNew),
      personPresent: terms.some(({ personPresent }) => personPresent),
    };
  }

  environments(): readonly StampedEnvironment[] {
    return this.all().flatMap((user) => user.environments());
  }

  environment(): CallerEnvironment {
    return mergeEnvironments(this.environments());
  }

  #count(user: LinkUser): void {
    const before = this.#users.get(user);
    if (before !== undefined) this.#inHaste[before] -= 1;
    const haste = user.haste();
    this.#users.set(user, haste);
    this.#inHaste[haste] += 1;
  }
}

/** As a user of its jump hosts, a link stands for everybody who uses it. */
export function riderOf(users: LinkUsers, changed: () => void, moved: () => void): LinkUser {
  return {
    tunnels: () => users.tunnels(),
    policy: () => users.policy(),
    rotateMs: () => users.rotateMs(),
    persons: () => users.persons(),
    haste: () => users.haste(),
    terms: () => users.terms(),
    environments: () => users.environments(),
    changed,
    // what rides on that session is lost with it, and says so
    suffered: () => undefined,
    moved,
  };
}

/** The policy of a link that serves several tunnels: what the most impatient one asks for. */
function mostImpatient(policies: readonly BackoffPolicy[]): BackoffPolicy {
  if (policies.length === 0) return { initialMs: 500, maxMs: 30_000 };
  return {
    initialMs: Math.min(...policies.map(({ initialMs }) => initialMs)),
    maxMs: Math.min(...policies.map(({ maxMs }) => maxMs)),
  };
}

/** More agent sockets than this are not tried: each was left behind by a terminal that ran `up`. */
const agentSocketLimit = 8;

/** One environment of several: newer variables cover older ones, newer agent sockets come first. */
export function mergeEnvironments(stamped: readonly StampedEnvironment[]): CallerEnvironment {
  const newestFirst = stamped.toSorted((a, b) => b.stamp - a.stamp).map(({ environment }) => environment);
  const sockets = new Set(newestFirst.flatMap(({ agentSockets }) => agentSockets));
  return {
    variables: Object.assign({}, ...newestFirst.toReversed().map(({ variables }) => variables)) as Record<
      string,
      string
    >,
    agentSockets: [...sockets].slice(0, agentSocketLimit),
  };
}
