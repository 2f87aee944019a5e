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
  const held = { descriptors: 30, names: ['pipe'], memoryMib: 50 };
  return {
    schedule: { ...createSchedule(1, 1), strikes: [] },
    connections: [],
    strikes: [],
    histories: allUp,
    losses: {},
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

const localWay = {
  name: 'near.port',
  tunnel: 'near',
  forward: 'port',
  type: 'local',
  clientIsUnix: false,
  targetIsUnix: false,
} as const;

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
    const frozen = struck({ kind: 'freeze', who: 'all', directions: ['up', 'down'], forMs: 5000 }, 500, 5500);
    expect(brokenOf({ strikes: [frozen, reset] })).toEqual([]);
  });

  describe('on a connection that was reset while its tunnel was up', () => {
    const cut = (): Connection => {
      const connection = createConnection(0, localWay, touchScript, 1000);
      Object.assign(connection, { endedMs: 9000, arrivals: 1, arrivedMs: 1000 });
      connection.client.gaveUp('ECONNRESET');
      return connection;
    };
    const losses = { near: [{ atMs: 9100, message: 'no byte for 2s' }] };
    const counted = (failed: number): Partial<Evidence> => ({
      connections: [cut()],
      losses,
      forwards: { 'near.port': { total: 1, failed } },
    });

    test('finds nothing where a session was lost that had been replaced, which was told and counted', () => {
      expect(brokenOf(counted(1))).toEqual([]);
      expect(judge(evidence(counted(1))).figures).toMatchObject({ oldCuts: 1, cut: 0 });
    });

    test('finds nothing either where the target heard of it long after', () => {
      const { connections, ...rest } = counted(1);
      const [connection] = connections as [Connection];
      Object.assign(connection, { endedMs: 14_000 });
      Object.assign(connection.client, { seenMs: 9000 });
      expect(brokenOf({ ...rest, connections: [connection] })).toEqual([]);
    });

    test('finds a cut where nothing was told', () => {
      expect(brokenOf({ ...counted(1), losses: {} })).toEqual([
        expect.stringMatching(/^cut: .*ECONNRESET.*up all the time/),
      ]);
    });

    test('finds nothing where the news came late because the supervisor slept', () => {
      const sleep: Struck = {
        ...struck({ kind: 'sleep', forMs: 5000 }, 9010, 14_010),
        strike: { atMs: 9010, place: 'here', fault: { kind: 'sleep', forMs: 5000 } },
      };
      const near: History = [...up, { atMs: 14_100, state: 'up', since: 'b' }];
      const late = { ...counted(1), losses: {}, histories: { ...allUp, near } };
      expect(brokenOf({ ...late, strikes: [sleep] })).toEqual([]);
      expect(brokenOf(late)).toEqual([expect.stringMatching(/^cut: /)]);
    });

    test('finds that it was not counted as failed', () => {
      expect(brokenOf(counted(0))).toEqual([expect.stringMatching(/^counts: .*1 failed at least/)]);
    });
  });

  test('finds a client that went on though it had left while it was held, but not when the supervisor slept at that moment', () => {
    const connection = createConnection(0, localWay, touchScript, 2000);
    Object.assign(connection, { endedMs: 4000, arrivals: 1, arrivedMs: 3900 });
    Object.assign(connection.client, { ended: 'end', endedMs: 2100, sentBytes: 10, seen: 'end' });
    const near: History = [
      { atMs: 0, state: 'retrying', since: 'a' },
      { atMs: 3800, state: 'up', since: 'b' },
    ];
    const seen = { connections: [connection], histories: { ...allUp, near } };
    const late = expect.stringMatching(/^late: .*left while it was held/) as string;
    expect(brokenOf(seen)).toContainEqual(late);
    const sleep: Struck = {
      ...struck({ kind: 'sleep', forMs: 1600 }, 2150, 3750),
      strike: { atMs: 2150, place: 'here', fault: { kind: 'sleep', forMs: 1600 } },
    };
    expect(brokenOf({ ...seen, strikes: [sleep] })).not.toContainEqual(late);
  });

  test('counts the sessions that were doubted and replaced, and those of lines that were joined', () => {
    const supervisorLog = [
      'near#1 owes an answer: a second session is dialled',
      'near#1 has a fresh session; the old one drains',
      'near#1 has a fresh session; the old one drains (once more since 12:01)',
      'near#1 has a fresh session; the old one drains (5 more times since 12:01)',
    ].join('\n');
    expect(judge(evidence({ supervisorLog })).figures).toMatchObject({ suspicions: 1, rotations: 7 });
  });

  test('finds what was not given back, and who is not served', () => {
    const texts = brokenOf({
      after: { descriptors: 33, names: ['pipe', 'tcp 1 to 2, state 8'], memoryMib: 500 },
      leftOpen: 2,
      unserved: ['near.port'],
    });
    expect(texts).toEqual([
      'descriptors: 30 before, 33 after: tcp 1 to 2, state 8',
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
    const slept = (toMs: number): Struck => {
      const fault = { kind: 'sleep', forMs: toMs - 900 } as const;
      return { ...struck(fault, 900, toMs), strike: { atMs: 900, place: 'here', fault } };
    };
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
