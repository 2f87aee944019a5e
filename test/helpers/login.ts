// One login without a session: a bare ssh2 client with our credentials on it, and a person who answers from a script.
import { connect } from 'node:net';
import { ssh2 } from '../../src/ssh/ssh2/load.ts';
import type { Client } from 'ssh2';
import type { TunnelError } from '../../src/errors.ts';
import type { Clock } from '../../src/model/clock.ts';
import { systemClock } from '../../src/model/clock.ts';
import type { Host } from '../../src/model/host.ts';
import type { PendingQuestion } from '../../src/model/question.ts';
import { Secret } from '../../src/model/secret.ts';
import type { DialContext, DialStep, LoginRecord } from '../../src/model/session.ts';
import { createSecretReader } from '../../src/secrets/read.ts';
import { createCredentials, type Credentials } from '../../src/ssh/auth/credentials.ts';
import type { CredentialParts } from '../../src/ssh/auth/credentials.ts';
import { provenInMemory } from '../../src/ssh/auth/kept.ts';
import { spentInMemory } from '../../src/ssh/auth/kept.ts';
import { fullHost } from './host.ts';

/** A host with nothing set that could help: a test adds what it is about. */
export function bareHost(port: number, over: Partial<Host> = {}): Host {
  const auth = ['agent', 'publickey', 'keyboard-interactive', 'password'] as const;
  return fullHost({ port, user: 'root', auth, ...over });
}

export type AskedQuestion = Omit<PendingQuestion, 'id' | 'link'>;

export interface Outcome {
  readonly record: LoginRecord | null;
  readonly error: TunnelError | null;
  readonly steps: readonly DialStep[];
  readonly asked: readonly AskedQuestion[];
  readonly banners: readonly string[];
  /** What the login waited for; null each time a wait was over. */
  readonly waits: readonly (string | null)[];
}

export interface LoginOptions {
  /** Answers in order; null declines; nobody is there when this is absent. A function sees the question. */
  readonly answers?: readonly (string | null)[] | ((question: AskedQuestion) => string | null);
  readonly onlyProven?: boolean;
  readonly variables?: Readonly<Record<string, string>>;
  readonly agentSockets?: readonly string[];
  /** Algorithms and ident for the client, and a look at it right after `connect`. */
  readonly client?: Record<string, unknown>;
  readonly touch?: (client: Client) => void;
}

export function testParts(over: Partial<CredentialParts> = {}): CredentialParts {
  return {
    secrets: createSecretReader({
      entries: { read: () => Promise.reject(new Error('no keychain in this test')) } as never,
      isProject: () => false,
      withheld: () => new Set(),
      credentialsDirectory: null,
    }),
    proven: provenInMemory(),
    spentCodes: spentInMemory(),
    clock: systemClock satisfies Clock,
    log: () => undefined,
    uid: process.getuid?.() ?? null,
    hostname: 'localhost',
    localUser: 'root',
    withheld: () => new Set(),
    ...over,
  };
}

/** Logs in once, and hangs up. Never rejects for a refusal. */
export async function logIn(
  host: Host,
  options: LoginOptions = {},
  credentials: Credentials = createCredentials(testParts()),
): Promise<Outcome> {
  const steps: DialStep[] = [];
  const asked: AskedQuestion[] = [];
  const banners: string[] = [];
  const waits: (string | null)[] = [];
  const context: DialContext = {
    signal: new AbortController().signal,
    ask: (question) => {
      if (options.answers === undefined) return Promise.reject(new Error('nobody is here'));
      asked.push(question);
      const answer =
        typeof options.answers === 'function' ? options.answers(question) : options.answers[asked.length - 1];
      if (answer === undefined) return Promise.reject(new Error(`unexpected question: ${question.text}`));
      return Promise.resolve(answer === null ? null : new Secret(answer));
    },
    personPresent: () => options.answers !== undefined,
    acceptNew: true,
    onlyProven: options.onlyProven ?? false,
    environment: { variables: options.variables ?? {}, agentSockets: options.agentSockets ?? [] },
    step: (step) => steps.push(step),
    banner: (text) => banners.push(text),
    waits: (why) => waits.push(why?.message ?? null),
  };
  const login = credentials.createLogin(host, context);
  const outcome = (record: LoginRecord | null, error: TunnelError | null): Outcome => {
    login.finish(record !== null);
    return { record, error, steps, asked, banners, waits };
  };
  try {
    await login.prepare();
  } catch (error) {
    return outcome(null, error as TunnelError);
  }
  const client = new ssh2.Client();
  const socket = connect(host.port, host.hostname);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
  const ready = new Promise<boolean>((resolve) => {
    client.once('ready', () => resolve(true));
    client.on('error', () => undefined);
    client.once('close', () => resolve(false));
  });
  const closed = new Promise<void>((resolve) => {
    client.once('close', () => resolve());
  });
  client.connect({
    sock: socket,
    username: host.user,
    authHandler: login.handler as never,
    hostVerifier: () => true,
    readyTimeout: 0,
    ...options.client,
  });
  login.install(client);
  options.touch?.(client);
  const succeeded = await ready;
  const result = succeeded ? outcome(login.record(), null) : outcome(null, login.failure());
  socket.destroy();
  await closed;
  return result;
}
