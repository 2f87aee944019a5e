// The one full Host of the tests, without anything that could help a login: each test or helper adds what it is about.
import type { Host } from '../../src/model/host.ts';

export function fullHost(more: Partial<Host> = {}): Host {
  return {
    name: 'katie',
    hostname: '127.0.0.1',
    port: 22,
    user: 'me',
    identities: [],
    identitiesOnly: true,
    certificates: [],
    certificateCommand: null,
    agent: { from: 'none' },
    auth: ['publickey'],
    password: null,
    passphrase: null,
    totp: null,
    proxyCommand: null,
    proxy: null,
    hostKeys: 'ask',
    hostKeyAlias: null,
    knownHosts: [],
    keepalive: { intervalMs: 15_000, count: 3 },
    connectTimeoutMs: 10_000,
    firstWordsMs: more.connectTimeoutMs ?? 10_000,
    algorithms: { kex: null, cipher: null, mac: null, hostKey: null, pubkey: null },
    compression: false,
    bindAddress: null,
    addressFamily: 'any',
    attended: null,
    authRetry: true,
    ...more,
  };
}
