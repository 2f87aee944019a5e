// Why an attempt at a login ended: by level, reason code and phase; one row a situation.
import { describe, expect, test } from 'vitest';
import { retryHelps, TunnelError } from '../../src/errors.ts';
import { offeredByDefault } from '../../src/keys/algorithms.ts';
import {
  attemptFailure,
  dialTrouble,
  silenceFailure,
  type AttemptFacts,
  type AttemptScene,
  type Progress,
} from '../../src/ssh/failure.ts';
import { hintOf } from '../helpers/hint.ts';
import { bareHost } from '../helpers/login.ts';

const host = bareHost(22);
const quiet: AttemptFacts = { thrown: null, disconnect: null, methodsSpent: false };
const hello = { ident: 'SSH-2.0-x', line: 'SSH-2.0-x', offers: null };
const scene = (over: Partial<AttemptScene>): AttemptScene => ({
  host,
  offer: offeredByDefault,
  supported: offeredByDefault,
  layer: 'kex',
  hello,
  received: 100,
  login: () =>
    new TunnelError('AUTH_REFUSED', 'authentication failed', { hint: 'h', facts: { layer: 'auth' } }),
  ...over,
});
const thrown = (level: string | null, code?: string): AttemptFacts['thrown'] =>
  Object.assign(new Error('words'), level === null ? {} : { level }, code === undefined ? {} : { code });
const goodbye = (reason: number, words = '') => ({ reason, words });
const auth = { layer: 'auth' } as const;

describe('an attempt that ended', () => {
  test.each<[string, Partial<AttemptFacts>, Partial<AttemptScene>, string, RegExp]>([
    [
      'before a byte came',
      {},
      { received: 0 },
      'LINK_LOST',
      /closed the connection at once; it may be refusing/,
    ],
    [
      'in the key exchange',
      {},
      {},
      'LINK_LOST',
      /^key exchange failed, on katie .*: the server closed the connection$/,
    ],
    ['by a reset', { thrown: thrown('client-socket', 'ECONNRESET') }, {}, 'LINK_LOST', /connection reset$/],
    ['by a broken packet', { thrown: thrown('protocol') }, {}, 'KEX_FAILED', /: words$/],
    ['by a DISCONNECT', { disconnect: goodbye(3) }, {}, 'KEX_FAILED', /the server ended it: reason 3$/],
    [
      'with a line that is not SSH',
      {},
      { hello: { ident: null, line: 'HTTP/1.1 400', offers: null } },
      'KEX_FAILED',
      /does not speak SSH, it says: HTTP/,
    ],
    [
      'with what OpenSSH says when it is full',
      {},
      { hello: { ident: null, line: 'Exceeded MaxStartups', offers: null } },
      'LINK_LOST',
      /turned us away, it says: Exceeded MaxStartups; too many logins/,
    ],
    ['with nothing left to offer', { methodsSpent: true }, auth, 'AUTH_REFUSED', /^authentication failed$/],
    [
      'by a DISCONNECT about the login',
      { disconnect: goodbye(2, 'Too many authentication failures') },
      auth,
      'AUTH_REFUSED',
      /^authentication failed \(the server says: Too many authentication failures\)$/,
    ],
    [
      'by another DISCONNECT',
      { disconnect: goodbye(11, 'bye') },
      auth,
      'LINK_LOST',
      /^login failed, .*ended it: bye$/,
    ],
    ['in the login', {}, auth, 'LINK_LOST', /^login failed, on katie .*: the server closed the connection$/],
  ])('%s', (_what, facts, over, code, message) => {
    const failure = attemptFailure({ ...quiet, ...facts }, scene(over));
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
  });

  test('with a failure of ours is that failure', () => {
    const ours = new TunnelError('TIMED_OUT', 'ours');
    expect(attemptFailure({ ...quiet, thrown: ours }, scene({}))).toBe(ours);
  });

  test('without an algorithm in common tells the line that would help, and needs a person', () => {
    const offers = { ...offeredByDefault, cipher: ['aes128-cbc'] };
    const supported = { ...offeredByDefault, cipher: [...offeredByDefault.cipher, 'aes128-cbc'] };
    const failure = attemptFailure(quiet, scene({ hello: { ...hello, offers }, supported }));
    expect(failure.code).toBe('KEX_FAILED');
    expect(hintOf(failure)).toMatch(/^ciphers: \+aes128-cbc {4}# under host katie; weak/);
    expect(failure.facts).toMatchObject({ layer: 'kex', tcpLevel: false, person: true });
  });
});

describe('silence', () => {
  const progress: Progress = { layer: 'kex', hello, deaf: null, offer: offeredByDefault, keyShown: false };
  test.each<[string, Partial<Progress>, RegExp, RegExp]>([
    [
      'without a byte is told by what was reached',
      { deaf: 'it says nothing' },
      /: it says nothing in 10s$/,
      /^tunnel why/,
    ],
    [
      'within the banner',
      { hello: { ...hello, ident: null } },
      /: no whole SSH banner in 10s$/,
      /^tunnel why/,
    ],
    [
      'after the banner may be packets that are lost',
      {},
      /no more than its banner, SSH-2.0-x, came in 10s.*MTU/,
      /^ip link/,
    ],
    [
      'after a large first packet names a smaller one',
      { hello: { ...hello, offers: offeredByDefault } },
      /no answer to our mlkem768x25519-sha256 in 10s.*MTU/,
      /^kex: -mlkem768x25519-sha256 .*under host katie/,
    ],
    [
      'after the key',
      { keyShown: true, hello: { ...hello, offers: offeredByDefault } },
      /no end of the key exchange/,
      /^tunnel why/,
    ],
    ['in the login', { layer: 'auth' }, /^login failed, on katie .*: no answer in 10s$/, /^tunnel why/],
  ])('%s', (_what, over, message, hint) => {
    const failure = silenceFailure(host, 10_000, { ...progress, ...over });
    expect(failure.code).toBe('TIMED_OUT');
    expect(failure.message).toMatch(message);
    expect(hintOf(failure)).toMatch(hint);
  });
});

describe('what a dial threw', () => {
  const system = (code: string): Error => Object.assign(new Error(`spawn ${code}`), { code });

  test.each(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EAGAIN'])(
    'for want of something (%s) is tried again',
    (code) => {
      const { code: told, message } = dialTrouble(host, system(code));
      expect(told).toBe('UNREACHABLE');
      expect(message).toMatch(/^connect failed, on .*: [a-z]/);
      expect(retryHelps(dialTrouble(host, system(code)))).toBe(true);
    },
  );

  test.each([system('ENOENT'), new TypeError('x is undefined'), 'words'])(
    'and nobody foresaw (%s) is a bug of ours, told once',
    (strange) => {
      const told = dialTrouble(host, strange);
      expect(told.code).toBe('INTERNAL');
      expect(retryHelps(told)).toBe(false);
      expect(told.cause).toBe(strange);
    },
  );

  test('and is an error of ours stays what it is', () => {
    const ours = new TunnelError('AGENT_DOWN', 'no agent', { hint: { command: 'up' } });
    expect(dialTrouble(host, ours)).toBe(ours);
  });
});
