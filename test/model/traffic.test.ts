// Rates, from the differences of what was counted.
import { expect, test } from 'vitest';
import type { TunnelFlow } from '../../src/model/flow.ts';
import { flowKey, withFlows, withLook } from '../../src/model/traffic.ts';
import { tunnelStatus } from '../helpers/tunnel-status.ts';

const [forward] = tunnelStatus('db').forwards;
const counted = (bytesIn: number, latencyMs: number | null = 1): ReturnType<typeof tunnelStatus> =>
  tunnelStatus('db', {
    latencyMs,
    forwards: forward === undefined ? [] : [{ ...forward, bytesIn, bytesOut: 0 }],
  });

test('the rate is what was added since the last look, by its time; counts that began anew add nothing', () => {
  let seen = withLook(new Map(), [counted(1000)], 0);
  expect(seen.get('db')?.rates).toEqual([]);
  seen = withLook(seen, [counted(3000, null)], 500);
  seen = withLook(seen, [counted(10)], 1000);
  seen = withLook(seen, [counted(20)], 1000);
  expect(seen.get('db')?.rates.map((rate) => rate.in)).toEqual([4000, 0, 0]);
  expect(seen.get('db')?.latencies).toEqual([1, null, 1, 1]);
});

test('two minutes are kept, and nothing of a tunnel that is gone', () => {
  let seen = withLook(new Map(), [counted(0)], 0);
  for (let look = 1; look <= 500; look += 1) seen = withLook(seen, [counted(look)], look * 1000);
  expect(seen.get('db')?.rates).toHaveLength(120);
  expect(withLook(seen, [], 1e6).size).toBe(0);
});

const flow: TunnelFlow = {
  tunnel: 'db',
  forward: null,
  listen: '127.0.0.1:1',
  peer: { host: '127.0.0.1', port: 5 },
  port: 1,
  ageMs: 0,
  running: true,
  bytesIn: 100,
  bytesOut: 0,
};

test('a connection is known again by its two ports; over a unix socket by nothing', () => {
  const other = { ...flow, peer: { host: '127.0.0.1', port: 6 } };
  const before = withFlows(new Map(), [flow, other], 0);
  const after = withFlows(
    before,
    [
      { ...flow, bytesIn: 300 },
      { ...flow, peer: null, port: null },
    ],
    1000,
  );
  expect([...after]).toEqual([
    [flowKey(flow), { last: { atMs: 1000, bytesIn: 300, bytesOut: 0 }, rate: { in: 200, out: 0 } }],
  ]);
});
