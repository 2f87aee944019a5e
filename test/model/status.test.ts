// When a tunnel is ready, and which are meant where nobody selected any: the one rule of wait, /readyz and status --check.
import { describe, expect, test } from 'vitest';
import {
  awaitsProbe,
  failedProbe,
  isReady,
  meantByDefault,
  type ForwardStatus,
  type ProbeStatus,
  type TunnelState,
} from '../../src/model/status.ts';

const forward = (target: string, probe: Partial<ProbeStatus> | null): ForwardStatus =>
  ({ target, probe: probe === null ? null : { ok: true, text: 'open', at: '', ...probe } }) as ForwardStatus;
const silent = forward('web:80', null);
const answers = forward('db:1', {});
const refused = forward('db:2', { ok: false, text: 'target refused' });
const awaited = forward('db:3', { ok: false, text: 'no answer yet', awaited: true });

describe('a tunnel', () => {
  test.each<[TunnelState, readonly ForwardStatus[], boolean]>([
    ['up', [], true],
    ['up', [silent, answers], true],
    ['up', [answers, refused], false],
    ['up', [silent, awaited], false],
    ['asleep', [], true],
    ['asleep', [refused], true],
    ['connecting', [answers], false],
    ['retrying', [], false],
    ['needs-you', [], false],
    ['stopping', [], false],
    ['down', [], false],
  ])('that is %s with %j is ready: %s', (state, forwards, ready) => {
    expect(isReady({ state, forwards })).toBe(ready);
  });

  test('tells the first target that its probe misses, and whether an answer is still awaited', () => {
    const failing = { state: 'up', forwards: [silent, answers, refused, awaited] } as const;
    expect(failedProbe(failing)).toEqual({ target: 'db:2', text: 'target refused' });
    expect(failedProbe({ state: 'up', forwards: [silent, answers] })).toBeNull();
    expect([failing, { state: 'up', forwards: [refused] } as const].map(awaitsProbe)).toEqual([true, false]);
  });
});

describe('of what nobody selected', () => {
  const tunnel = (name: string, wanted: boolean, autostart: boolean) => ({ name, wanted, autostart });
  const meant = (...all: ReturnType<typeof tunnel>[]): string[] =>
    meantByDefault(all).map(({ name }) => name);

  test('what is wanted is meant, whatever starts by itself', () => {
    expect(meant(tunnel('a', false, true), tunnel('b', true, false), tunnel('c', true, true))).toEqual([
      'b',
      'c',
    ]);
  });

  test('where nothing is wanted, what starts by itself is meant, and that may be nothing', () => {
    expect(meant(tunnel('a', false, true), tunnel('b', false, false))).toEqual(['a']);
    expect(meant(tunnel('b', false, false))).toEqual([]);
  });
});
