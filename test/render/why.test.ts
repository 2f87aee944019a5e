// `tunnel why` on the screen: a line a layer, hops only where there are several.
import { expect, test } from 'vitest';
import type { WhyStep } from '../../src/model/why.ts';
import { paintOf } from '../../src/render/color.ts';
import { renderWhy } from '../../src/render/why.ts';

const plain = await paintOf(0);
const step = (
  layer: WhyStep['layer'],
  status: WhyStep['status'],
  ms: number,
  detail = '',
  hop = 'katie',
): WhyStep => ({
  hop,
  layer,
  status,
  ms,
  detail,
});
const lines = (...steps: WhyStep[]): string[] =>
  renderWhy({ name: 'k', ok: true, steps, error: null }, plain);

test('one server: layer, status, time and what was found, as SPEC 7 shows it', () => {
  expect(
    lines(
      step('config', 'ok', 0),
      step('dns', 'ok', 3, 'katie.example.org is 203.0.113.10'),
      step('tcp', 'failed', 3000, '203.0.113.10:22 does not answer'),
      step('kex', 'skipped', 0, 'last time: curve25519-sha256, aes128-gcm'),
      step('listen', 'ok', 0, '127.0.0.1:2345, 1 held'),
    ),
  ).toEqual([
    'config  ok       0 ms',
    'dns     ok       3 ms   katie.example.org is 203.0.113.10',
    'tcp     FAILED   3.0 s  203.0.113.10:22 does not answer',
    'kex     skipped         last time: curve25519-sha256, aes128-gcm',
    'listen  ok              127.0.0.1:2345, 1 held',
  ]);
});

test('a key that was refused before another one was taken is no failure', () => {
  const [refused, , alone] = lines(
    step('auth', 'failed', 1, 'key A: refused'),
    step('auth', 'ok', 1, 'key B: accepted'),
    step('auth', 'failed', 1, 'key C: refused', 'other'),
  );
  expect(refused).toMatch(/^katie +auth +refused/);
  expect(alone).toMatch(/^other +auth +FAILED/);
});
