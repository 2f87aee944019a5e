// The private parts of ssh2 that logins and the hybrid key exchange use: there, and what we think they are.
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { missingAuthParts } from '../../../src/ssh/ssh2/auth.ts';
import { ssh2 } from '../../../src/ssh/ssh2/load.ts';
import { allowHybridKex } from '../../../src/ssh/ssh2/kex.ts';
import { privateParts } from '../../../src/ssh/ssh2/internals.ts';

const require = createRequire(import.meta.url);

describe('ssh2 1.17.0', () => {
  test('has the parts that authentication takes over', () => {
    const client = new ssh2.Client();
    client.on('error', () => undefined);
    client.connect({ sock: new PassThrough(), username: 'x', readyTimeout: 0 });
    expect(missingAuthParts(client)).toEqual([]);
    client.destroy();
  });

  test('is missed by name when it is another one', () => {
    expect(missingAuthParts({ _protocol: { _handlers: {} } } as never)).toEqual(
      expect.arrayContaining(['USERAUTH_FAILURE', '_authsQueue', '_packetRW.write.alloc']),
    );
    expect(missingAuthParts({} as never)).toEqual(['_protocol']);
  });

  test('takes the hybrid method into its offer once it is allowed, a single time', () => {
    allowHybridKex();
    allowHybridKex();
    const { SUPPORTED_KEX } = require('ssh2/lib/protocol/constants.js') as { SUPPORTED_KEX: string[] };
    expect(SUPPORTED_KEX.filter((name) => name === 'mlkem768x25519-sha256')).toHaveLength(1);
    const client = new ssh2.Client();
    client.on('error', () => undefined);
    client.connect({
      sock: new PassThrough(),
      username: 'x',
      readyTimeout: 0,
      algorithms: { kex: ['mlkem768x25519-sha256', 'curve25519-sha256'] as never },
    });
    expect(privateParts(client)._protocol._offer.lists.kex.array.slice(0, 2)).toEqual([
      'mlkem768x25519-sha256',
      'curve25519-sha256',
    ]);
    client.destroy();
  });
});
