// The keychain as commands reach it: the same child, time limit and bindings as a supervisor has.
import { bindingsFolder, createBindings, createEntries, type SecretEntries } from '../secrets/entries.ts';
import { createKeychain, type Keychain } from '../secrets/keychain.ts';
import type { Context } from './context.ts';

/** Somebody may be asked to unlock it. */
const unlockLimitMs = 60_000;

export function keychainEntries(context: Context, limitMs = unlockLimitMs): SecretEntries {
  return createEntries(keychainOf(context, limitMs), createBindings(bindingsFolder(context.places.stateDir)));
}

/** `timeoutMs`: for one answer. */
export function keychainOf({ program, facts }: Context, timeoutMs: number): Keychain {
  return createKeychain({ spawnArgv: [...program, '__keychain'], timeoutMs, environment: facts.env });
}
