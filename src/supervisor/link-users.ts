// Who uses a link, counted: tunnels, and links that ride on it; and what they want of it together.
import type { CallerEnvironment } from '../model/session.ts';
import { mostImpatient } from './backoff.ts';
import type { BackoffPolicy } from './backoff.ts';
import type { Person } from './engine.ts';
import { mergeEnvironments } from './environment.ts';
import type { StampedEnvironment } from './environment.ts';

/** What the last command granted, for its own time only. */
export interface Terms {
  readonly acceptNew: boolean;
  readonly personPresent: boolean;
}

export const noTerms: Terms = { acceptNew: false, personPresent: false };

/** What one user wants, or all users of a link. */
export interface Wants {
  /** Names of the tunnels behind it. */
  tunnels(): readonly string[];
  policy(): BackoffPolicy;
  persons(): readonly Person[];
  /** A connection is held, or somebody waits in `up` or `wait`. */
  eager(): boolean;
  terms(): Terms;
  environments(): readonly StampedEnvironment[];
}

/** A tunnel over a link, or a link that rides on it. */
export interface LinkUser extends Wants {
  changed(): void;
  /** A fresh link of the same kind is up (`restart`): new connections belong there. */
  moved(): void;
}

export class LinkUsers implements Wants {
  readonly #users = new Set<LinkUser>();

  get size(): number {
    return this.#users.size;
  }

  all(): readonly LinkUser[] {
    return [...this.#users];
  }

  add(user: LinkUser): void {
    this.#users.add(user);
  }

  delete(user: LinkUser): boolean {
    return this.#users.delete(user);
  }

  tunnels(): readonly string[] {
    return [...new Set(this.all().flatMap((user) => user.tunnels()))];
  }

  policy(): BackoffPolicy {
    return mostImpatient(this.all().map((user) => user.policy()));
  }

  persons(): readonly Person[] {
    return [...new Set(this.all().flatMap((user) => user.persons()))];
  }

  eager(): boolean {
    return this.all().some((user) => user.eager());
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
}

/** As a user of its jump hosts, a link stands for everybody who uses it. */
export function riderOf(users: LinkUsers, changed: () => void, moved: () => void): LinkUser {
  return {
    tunnels: () => users.tunnels(),
    policy: () => users.policy(),
    persons: () => users.persons(),
    eager: () => users.eager(),
    terms: () => users.terms(),
    environments: () => users.environments(),
    changed,
    moved,
  };
}
