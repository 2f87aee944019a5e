// Hints name the tunnel: what can be pasted must be about something `tunnel` knows.
import { expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import type { Host } from '../../src/model/host.ts';
import { forTunnel } from '../../src/model/hint.ts';

const host = (name: string): Host => ({ name }) as Host;
const tunnel = { name: 'uppercase', ways: [[host('bastion'), host('demo')]] as const };
const hinted = (hint: string | null): string | null =>
  forTunnel(new TunnelError('TIMED_OUT', 'x', { hint }), tunnel).hint;

test.each([
  ['tunnel why demo', 'tunnel why uppercase'],
  ['tunnel why bastion', 'tunnel why uppercase'],
  [
    'tunnel up demo on a terminal; or tunnel secret set demo password',
    'tunnel up uppercase on a terminal; or tunnel secret set demo password',
  ],
  ['check the user of host demo: tunnel why demo.', 'check the user of host demo: tunnel why uppercase.'],
  ['tunnel trust demo --replace', 'tunnel trust demo --replace'],
  ['tunnel why demo-2', 'tunnel why demo-2'],
  ['tunnel why demo.example.org', 'tunnel why demo.example.org'],
  ['tunnel why other', 'tunnel why other'],
  ['tunnel up --remap    # port 2 is free', 'tunnel up --remap uppercase    # port 2 is free'],
  ['tunnel down\ntunnel up --remap', 'tunnel down\ntunnel up --remap uppercase'],
  [null, null],
])('%s becomes %s', (hint, expected) => {
  expect(hinted(hint)).toBe(expected);
});

test('an error without such a hint stays the very same, one with it keeps all else', () => {
  const plain = new TunnelError('AUTH_REFUSED', 'no', { hint: 'ssh-add' });
  expect(forTunnel(plain, tunnel)).toBe(plain);
  const error = new TunnelError('LINK_LOST', 'lost', { hint: 'tunnel why demo', facts: { tcpLevel: true } });
  expect(forTunnel(error, tunnel)).toMatchObject({
    code: 'LINK_LOST',
    message: 'lost',
    facts: { tcpLevel: true },
  });
});
