// The keychain child as a program of its own, for tests that run from source.
import { keychainChild } from '../../src/secrets/keychain-child.ts';

process.exitCode = await keychainChild();
