// Hints name the tunnel: what can be pasted must be about something `tunnel` knows.
import { expect, test } from 'vitest';
import { TunnelError, type Hint } from '../../src/errors.ts';
import type { Host } from '../../src/model/host.ts';
import { eachCommand, firstCommand, forTunnel, withHint } from '../../src/model/tunnel-hints.ts';
import { hintOf } from '../helpers/hint.ts';

const host = (name: string, hostname = `${name}.example.org`, port = 22): Host =>
  ({ name, hostname, port }) as Host;
const tunnel = {
  name: 'uppercase',
  ways: [[host('bastion'), host('10.0.0.1', '10.0.0.1', 2222), host('demo')]] as const,
};
const hinted = (hint: Hint | null): string | null =>
  hintOf(forTunnel(new TunnelError('TIMED_OUT', 'x', { hint }), tunnel));
const why = (name: string): Hint => ({ command: 'why', on: { host: name } });

test.each<[Hint | null, string | null]>([
  [why('demo'), 'tunnel why uppercase'],
  [why('bastion'), 'tunnel why uppercase'],
  [
    [
      { command: 'up', on: { host: 'demo' } },
      ' on a terminal; or ',
      { command: 'secret set', on: { host: 'demo' }, flags: 'password' },
    ],
    'tunnel up uppercase on a terminal; or tunnel secret set demo password',
  ],
  [
    ['check the user of host demo: ', { command: 'why', on: { host: 'demo' } }, '.'],
    'check the user of host demo: tunnel why uppercase.',
  ],
  [{ command: 'trust', on: { host: 'demo' }, flags: '--replace' }, 'tunnel trust uppercase --replace'],
  [{ command: 'trust', on: { host: '10.0.0.1:2222' } }, 'tunnel trust uppercase'],
  // of another server there
  [{ command: 'trust', on: { host: '10.0.0.1:2223' } }, 'tunnel trust 10.0.0.1:2223'],
  [why('demo-2'), 'tunnel why demo-2'],
  [why('demo.example.org'), 'tunnel why demo.example.org'],
  [why('other'), 'tunnel why other'],
  [{ command: 'why', on: { words: ['demo'] } }, 'tunnel why demo'],
  [{ command: 'why', on: { tunnel: 'demo' } }, 'tunnel why demo'],
  [
    { command: 'up --remap', on: { tunnel: null }, note: 'port 2 is free' },
    'tunnel up --remap uppercase    # port 2 is free',
  ],
  [
    ['tunnel -c y down\n', { command: 'up --remap', on: { tunnel: null } }],
    'tunnel -c y down\ntunnel up --remap uppercase',
  ],
  [{ meant: 'demo', insteadOf: 'dmeo' }, 'did you mean demo?'],
  [null, null],
])('%j becomes %s', (hint, expected) => {
  expect(hinted(hint)).toBe(expected);
});

test('an error without such a hint stays the very same, one with it keeps all else', () => {
  for (const hint of ['ssh-add', why('other'), ['a ', { command: 'trust' }]]) {
    const plain = new TunnelError('AUTH_REFUSED', 'no', { hint });
    expect(forTunnel(plain, tunnel)).toBe(plain);
    expect(withHint(plain, plain.hint ?? '')).toBe(plain);
  }
  const error = new TunnelError('LINK_LOST', 'lost', { hint: why('demo'), facts: { tcpLevel: true } });
  expect(forTunnel(error, tunnel)).toMatchObject({
    code: 'LINK_LOST',
    message: 'lost',
    facts: { tcpLevel: true },
  });
});

test('the command that a hint begins with is told, words have none', () => {
  expect(firstCommand(why('demo'))).toBe('why');
  expect(firstCommand([{ command: 'up' }, '; or not'])).toBe('up');
  expect(firstCommand(['look: ', { command: 'why' }])).toBeNull();
  expect(firstCommand('tunnel why demo')).toBeNull();
  expect(firstCommand({ meant: 'db', insteadOf: 'bd' })).toBeNull();
});

test('words are left as they are', () => {
  expect(eachCommand('tunnel up', () => ({ command: 'down' }))).toBe('tunnel up');
  expect(eachCommand([], (command) => command)).toEqual([]);
});
