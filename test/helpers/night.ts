// A night: the engine over the real dialer, real credentials and real carriers, on a clock that only the test moves; and
// what a real server's log tells of it.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createCarrier } from '../../src/forward/create.ts';
import type { PendingQuestion } from '../../src/model/question.ts';
import { Secret } from '../../src/model/secret.ts';
import type { TunnelStatus } from '../../src/model/status.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { createDialer } from '../../src/ssh/dial.ts';
import type { Engine, UpRequest } from '../../src/supervisor/engine.ts';
import { createEngine } from '../../src/supervisor/supervisor.ts';
import { createTrustStore } from '../../src/trust/store.ts';
import { configOf, offTerminal, onTerminal } from './fake-world.ts';
import { temporaryFolder } from './folder.ts';
import { someUser } from './ssh-dialer.ts';
import { testParts } from './login.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';
import type { Sshd } from './sshd.ts';
import { eventually } from './ways-in.ts';

export const minuteMs = 60_000;
/** How often a link that needs somebody looks whether something changed. */
const pollMs = 2_000;

export interface Night extends AsyncDisposable {
  readonly engine: Engine;
  readonly clock: ManualClock;
  /** Our own store of host keys. */
  readonly knownHosts: string;
  one(name: string): TunnelStatus;
  /** Minutes until it looks again, as the status says; null: it does not. */
  retryInMinutes(name: string): number | null;
  until(name: string, met: (status: TunnelStatus) => boolean): Promise<TunnelStatus>;
  /** `up` off a terminal. The code of its verdict; null when it serves. */
  up(name: string, request?: UpRequest): Promise<string | null>;
  /** `up` by a person who answers each question, and leaves when it is decided. */
  upAtTerminal(name: string, answer: (question: PendingQuestion) => string | null): Promise<string | null>;
  /** Lets it look whether something changed until it has seen that and tries; what came of it. */
  notice(name: string): Promise<TunnelStatus>;
  /** To the next look, and through it. What the status says of it afterwards. */
  look(name: string): Promise<TunnelStatus>;
}

export async function startNight(...tunnels: Tunnel[]): Promise<Night> {
  const clock = manualClock(Date.UTC(2026, 10, 22, 2));
  const knownHosts = join(temporaryFolder('trust'), 'known_hosts');
  const credentials = createCredentials(testParts({ clock }));
  const engine = createEngine({
    dialer: createDialer({
      trust: createTrustStore({ file: knownHosts, now: () => clock.now() }),
      credentials,
      proxyPassword: async () => '',
      secretVariables: () => [],
      local: someUser,
      log: () => undefined,
      clock,
    }),
    createCarrier,
    clock,
    random: Math.random,
    log: () => undefined,
    ports: {},
  });
  await engine.apply(configOf(...tunnels), { prune: false });
  const limit = (): AbortSignal => AbortSignal.timeout(20_000);
  const retryInMs = (name: string): number | null => {
    const { retryAt } = night.one(name);
    return retryAt === null ? null : Date.parse(retryAt) - clock.now();
  };
  const night: Night = {
    engine,
    clock,
    knownHosts,
    one: (name) => engine.status([name])[0] as TunnelStatus,
    retryInMinutes(name) {
      const ms = retryInMs(name);
      return ms === null ? null : ms / minuteMs;
    },
    until: (name, met) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const status = night.one(name);
          if (!met(status)) return;
          cancel();
          resolve(status);
        };
        const cancel = engine.onChange(look);
        limit().addEventListener('abort', () => reject(new Error(JSON.stringify(night.one(name), null, 1))));
        look();
      }),
    async up(name, request = offTerminal) {
      engine.up([name], request);
      return (await engine.settled(name, limit()))?.code ?? null;
    },
    async upAtTerminal(name, answer) {
      const person = {
        question(question: PendingQuestion): void {
          const words = answer(question);
          engine.answer(question.id, words === null ? null : new Secret(words), person);
        },
        withdrawn: () => undefined,
        banner: () => undefined,
      };
      const leave = engine.attend([name], person);
      try {
        return await night.up(name, onTerminal);
      } finally {
        leave();
      }
    },
    async notice(name) {
      let begun = false;
      const began = night.until(name, ({ state }) => state === 'connecting').then(() => (begun = true));
      // one look may be under way, and then the next one sees it
      while (!begun) {
        clock.advance(pollMs);
        await Promise.race([began, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
      return night.until(name, ({ state }) => state !== 'connecting');
    },
    look(name) {
      clock.advance(retryInMs(name) ?? 0); // in whole milliseconds: a hair less, and the timer is not due
      return night.until(name, ({ state }) => state !== 'connecting');
    },
    [Symbol.asyncDispose]: () => engine.close(0),
  };
  return night;
}

/** One connection, as the server's log tells of it. */
export interface Visit {
  readonly port: string;
  /** "Failed publickey SHA256:…", "Accepted publickey SHA256:… certificate", "Accepted password", in order. */
  readonly attempts: readonly string[];
}

/** Ports of our own connections that only asked whether the server has taken all that came before. */
const bells = new Set<string>();

/**
 * Every connection so far, without those of `startSshd` and of this function, and all of it: the server has taken what
 * was begun, in the order it came, and has no session left that could write.
 */
export async function visits(sshd: Sshd): Promise<readonly Visit[]> {
  const bell = connect(sshd.port, '127.0.0.1');
  await once(bell, 'connect');
  bells.add(`${sshd.port} ${bell.localPort}`);
  await once(bell, 'data');
  bell.destroy();
  await eventually(() => sshd.sessionPids().length === 0);
  return visitsSoFar(sshd);
}

/** The same of now: of a connection that lives, or has just ended, something may be missing. */
export function visitsSoFar(sshd: Pick<Sshd, 'log' | 'port'>): readonly Visit[] {
  const lines = sshd.log().split('\n');
  const all = lines.flatMap((line) => {
    const port = /^Connection from \S+ port (\d+)/.exec(line)?.[1];
    if (port === undefined) return [];
    const said = new RegExp(
      `^(Accepted|Failed|Partial) (\\S+) for \\S+ from \\S+ port ${port} ssh2(?:: (\\S+) (SHA256:\\S+))?`,
    );
    const attempts = lines.flatMap((other) => {
      const [, verdict, method, type, key] = said.exec(other) ?? [];
      if (verdict === undefined || method === 'none') return [];
      const certificate = type?.endsWith('-CERT') === true ? 'certificate' : '';
      return [[verdict, method, key, certificate].filter(Boolean).join(' ')];
    });
    return [{ port, attempts }];
  });
  return all.slice(1).filter(({ port }) => !bells.has(`${sshd.port} ${port}`));
}

/** The server has written down that it let the last one in: it says so to us first. */
export async function entered(sshd: Sshd): Promise<void> {
  await eventually(() => visitsSoFar(sshd).at(-1)?.attempts.at(-1)?.startsWith('Accepted') === true);
}

/** Once they have lasted so long that what is lost is dialled again at once. */
export async function loseSessions(sshd: Sshd, night: Pick<Night, 'clock'>): Promise<void> {
  await entered(sshd);
  night.clock.advance(5_000);
  sshd.signalSessions('SIGKILL');
}

/** Nobody gets in by a key any more; the returned function lets everybody in who was. */
export function lockOut(file: string, content: string | Buffer): () => void {
  writeFileSync(file, '');
  return () => writeFileSync(file, content);
}
