// The verdict on what a whole round left behind: late tunnels, untrue status, leaks.
import { describe, expect, test } from 'vitest';
import { createConnection, type Connection } from '../../chaos/connection.ts';
import type { Struck } from '../../chaos/faults.ts';
import type { Evidence } from '../../chaos/round.ts';
import { createSchedule, type Fault } from '../../chaos/schedule.ts';
import type { History } from '../../chaos/truth.ts';
import { touchScript } from '../../chaos/script.ts';
import { judge } from '../../chaos/verdict.ts';

const up: History = [{ atMs: 0, state: 'up', since: 'a' }];
const allUp = { near: up, nearBack: up, inner: up, innerBack: up };

function evidence(change: Partial<Evidence>): Evidence {
  const held = { descriptors: 30, memoryMib: 50 };
  return {
    schedule: { ...createSchedule(1, 1), strikes: [] },
    connections: [],
    strikes: [],
    histories: allUp,
    before: held,
    after: held,
    leftOpen: 0,
    unserved: [],
    forwards: {},
    calmMs: 50_000,
    endMs: 60_000,
    sshdLogs: { near: '', inner: '' },
    supervisorLog: '',
    ...change,
  };
}

const struck = (
  fault: Fault,
  beganMs: number,
  endedMs: number | null,
  cutMs: number | null = null,
): Struck => ({
  strike: { atMs: beganMs, place: 'near', fault },
  beganMs,
  endedMs,
  cutMs,
});

const brokenOf = (change: Partial<Evidence>): string[] =>
  judge(evidence(change)).broken.map(({ invariant, text }) => `${invariant}: ${text}`);

describe('a verdict', () => {
  test('on a round in which all was well finds nothing', () => {
    expect(brokenOf({})).toEqual([]);
  });

  test('finds a tunnel that is up too late, or never again', () => {
    const strikes = [struck({ kind: 'refuse', forMs: 1000 }, 1000, 2000)];
    const late: History = [
      ...up,
      { atMs: 1100, state: 'retrying', since: 'b' },
      { atMs: 30_000, state: 'up', since: 'c' },
    ];
    expect(brokenOf({ strikes, histories: { ...allUp, near: late } })).toEqual([
      expect.stringMatching(/^recovery: near: up 28000 ms after refuse at near/),
    ]);
    expect(brokenOf({ strikes, histories: { ...allUp, near: late.slice(0, 2) } })).toEqual([
      expect.stringMatching(/^recovery: near: not up 6000 ms after refuse/),
    ]);
    const soon: History = [...late.slice(0, 2), { atMs: 2500, state: 'up', since: 'c' }];
    expect(brokenOf({ strikes, histories: { ...allUp, near: soon } })).toEqual([]);
    expect(judge(evidence({ strikes, histories: { ...allUp, near: soon } })).figures.longestRecoveryMs).toBe(
      500,
    );
  });

  test('finds a status that calls a tunnel up whose link was cut, unless something else keeps the news', () => {
    const reset = struck({ kind: 'reset' }, 1000, 1000, 1000);
    expect(brokenOf({ strikes: [reset] }).filter((text) => text.startsWith('status: near'))).toHaveLength(2);
    const frozen = struck({ kind: 'freeze', directions: ['up', 'down'], forMs: 5000 }, 500, 5500);
    expect(brokenOf({ strikes: [frozen, reset] })).toEqual([]);
  });

  test('finds what was not given back, and who is not served', () => {
    const texts = brokenOf({
      after: { descriptors: 33, memoryMib: 500 },
      leftOpen: 2,
      unserved: ['near.port'],
    });
    expect(texts).toEqual([
      'descriptors: 30 before, 33 after',
      'memory: 50 MiB before, 500 MiB after',
      'status: 2 connections open or held with nobody connected',
      'service: near.port did not serve when all was over',
    ]);
  });

  test('finds a held connection that is served after its client had left, unless the supervisor slept', () => {
    const near: History = [
      { atMs: 0, state: 'retrying', since: 'a' },
      { atMs: 5000, state: 'up', since: 'b' },
    ];
    const connections = [lateConnection(1000, 5100)];
    const histories = { ...allUp, near };
    expect(brokenOf({ connections, histories })).toEqual([
      expect.stringMatching(/^late: connection 1 by near\.port.*had left while it was held$/),
    ]);
    const slept = (toMs: number): Struck => struck({ kind: 'sleep', forMs: toMs - 900 }, 900, toMs);
    expect(brokenOf({ connections, histories, strikes: [slept(5000)] })).toEqual([]);
    expect(brokenOf({ connections, histories, strikes: [slept(3000)] })).toEqual([
      expect.stringMatching(/^late: /),
    ]);
  });
});

/** Of a client that ended at once, and arrived later. */
function lateConnection(endedMs: number, arrivedMs: number): Connection {
  const way = {
    name: 'near.port',
    tunnel: 'near',
    forward: 'port',
    type: 'local',
    socksTo: null,
    clientIsUnix: false,
    targetIsUnix: false,
  } as const;
  const connection = createConnection(1, way, touchScript, endedMs);
  const all = { ended: 'end', endedMs, seen: 'end', closed: true } as const;
  Object.assign(connection.client, all);
  Object.assign(connection.target, { ...all, endedMs: arrivedMs });
  return Object.assign(connection, { arrivals: 1, arrivedMs, endedMs: arrivedMs });
}
