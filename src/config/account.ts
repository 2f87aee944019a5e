// Whose config it is: homes, names and environment, as far as resolving needs them.
import { passwdUsers } from '../files/passwd.ts';
import { passwdEntry, userName } from '../files/process-facts.ts';
import type { PlaceFacts } from '../paths.ts';

export interface Account extends PlaceFacts {
  /** Login name of this user: the default for `user`. */
  readonly user: string;
  /** Home in the passwd file, which ssh goes by; null without an entry. `home` is $HOME. */
  readonly passwdHome: string | null;
}

/** Looks the user up; without a passwd entry (a container with a bare uid) the environment must do. */
export function accountOf(facts: PlaceFacts): Account {
  const entry = passwdEntry();
  return { ...facts, user: userName(facts, entry), passwdHome: entry?.home ?? null };
}

/** The account in another environment, less the variables that hold secrets: what a program of the user's may see. */
export function inEnvironment(account: Account, env: Account['env'], secret: readonly string[]): Account {
  const shown = Object.entries(env).filter(([name]) => !secret.includes(name));
  return { ...account, env: Object.fromEntries(shown) };
}

/** The home of any user of this machine; null when the passwd file does not know them (or is not where users are kept). */
export function homeOfUser(user: string): string | null {
  return passwdUsers().find(({ name }) => name === user)?.home ?? null;
}
