// The supervisor as a program of its own, run from the sources: what bin/tunnel.js does with __supervise and __keychain.
import { superviseCommand } from '../../src/daemon/main.ts';
import { keychainChild } from '../../src/secrets/keychain-child.ts';

const [, , word, ...rest] = process.argv;
if (word === '__keychain') await keychainChild();
else process.exitCode = await superviseCommand(rest);
