// A dialer for tests: a throwaway trust store, the smallest login, a context that answers as told, and hosts of real sshds.
import { join } from 'node:path';
import type { Host } from '../../src/model/host.ts';
import { Secret } from '../../src/model/secret.ts';
import type { DialContext, Dialer, DialStep } from '../../src/model/session.ts';
import type { CreateLogin } from '../../src/ssh/auth/login.ts';
import { createDialer, type DialerParts } from '../../src/ssh/dial.ts';
import { createTrustStore, type TrustStore } from '../../src/trust/store.ts';
import { temporaryFolder } from './folder.ts';
import { keyFileLogin } from './key-login.ts';
import type { Sshd } from './sshd.ts';
import { fullHost } from './host.ts';

/** Who dials: nobody of this machine. */
export const someUser = { user: 'me', uid: 4321, home: '/home/me', hostname: 'laptop.example.org' };

export interface TestDialer {
  readonly dialer: Dialer;
  readonly trust: TrustStore;
  readonly logged: string[];
}

/** `createLogin`: for credentials that are asked for nothing else. */
export function testDialer({
  createLogin = keyFileLogin,
  ...parts
}: Partial<DialerParts> & { createLogin?: CreateLogin } = {}): TestDialer {
  const trust = createTrustStore({ file: join(temporaryFolder('trust'), 'known_hosts'), now: Date.now });
  const logged: string[] = [];
  const dialer = createDialer({
    trust,
    credentials: {
      createLogin,
      forgetAllBut: () => undefined,
      typed: () => ({ passwords: [], passphrases: [] }),
      inherit: () => undefined,
      circumstances: async () => '',
    },
    proxyPassword: async () => '',
    secretVariables: () => [],
    local: someUser,
    log: (level, event, message) => logged.push(`${level} ${event} ${message}`),
    ...parts,
  });
  return { dialer, trust, logged };
}

export interface TestContext extends DialContext {
  readonly steps: DialStep[];
  readonly banners: string[];
  readonly questions: Parameters<DialContext['ask']>[0][];
}

/** `answer` null: nobody is there. */
export function testContext(answer: string | null = null, more: Partial<DialContext> = {}): TestContext {
  const steps: DialStep[] = [];
  const banners: string[] = [];
  const questions: Parameters<DialContext['ask']>[0][] = [];
  return {
    signal: new AbortController().signal,
    ask: async (question) => {
      questions.push(question);
      if (answer === null) throw new Error('nobody is there');
      return new Secret(answer);
    },
    personPresent: () => answer !== null,
    acceptNew: false,
    onlyProven: false,
    environment: { variables: { PATH: process.env['PATH'] ?? '' }, agentSockets: [] },
    step: (step) => steps.push(step),
    banner: (text) => banners.push(text),
    steps,
    banners,
    questions,
    ...more,
  };
}

/** The host of a test sshd, by its key file, its host keys accepted on first use. */
export function hostOf(sshd: Pick<Sshd, 'port' | 'user' | 'identity'>, more: Partial<Host> = {}): Host {
  const { port, user, identity } = sshd;
  return fullHost({ name: 'test', port, user, identities: [identity], hostKeys: 'accept-new', ...more });
}
