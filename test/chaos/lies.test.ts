// The proof that a chaos run can fail: the same clients, targets and verdict, with a relay that lies in the tunnel's place.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Crew } from '../../chaos/crew.ts';
import { startFairClock } from '../../chaos/fair-clock.ts';
import { createRandom } from '../../chaos/random.ts';
import type { Evidence } from '../../chaos/round.ts';
import { createSchedule } from '../../chaos/schedule.ts';
import type { Script, Step } from '../../chaos/script.ts';
import { startTargets, type OpenWay } from '../../chaos/traffic.ts';
import { judge, type Verdict } from '../../chaos/verdict.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { startRelay, type Lie } from '../helpers/lying-relay.ts';
import { freePort } from '../helpers/ports.ts';

const blocks: Step = { kind: 'send', lengths: Array<number>(10).fill(500) };
const talk: readonly Step[] = [blocks, { kind: 'pause', ms: 30 }, blocks, { kind: 'end' }];
/** Both send 20 blocks, in two goes, and end. */
const exchange: Script = {
  kind: 'exchange',
  client: { steps: talk, pace: null },
  target: { steps: talk, pace: null },
};

const straight: Omit<OpenWay, 'at'> = {
  name: 'near.port',
  tunnel: 'near',
  forward: 'port',
  type: 'local',
  socksTo: null,
  clientIsUnix: false,
  targetIsUnix: false,
};

/** A few connections through a relay, judged as those of a run whose tunnel was up all the time. */
async function verdictOn(lie: Lie, script: Script | null = exchange): Promise<Verdict> {
  using clock = startFairClock();
  const crew = new Crew({
    clock,
    patience: () => ({ sinceMs: 0, boundMs: script === null ? 5000 : 400 }),
    mayConnect: () => true,
  });
  const path = join(temporaryFolder('lies'), 'target.sock');
  await using targets = await startTargets(path, (id) => crew.known(id), clock);
  await using relay = await startRelay(targets.port, lie, 3000);
  const way: OpenWay = {
    ...straight,
    at: () => (lie === 'none' ? targets.port : relay.port),
  };
  const over = new AbortController();
  const looking = crew.watch(over.signal);
  const random = createRandom(lie);
  if (script === null) {
    const working = crew.work(way, 4, random);
    while (crew.connections.length < 60) await clock.sleep(20);
    crew.stop();
    await working;
  } else for (let count = 0; count < 3; count += 1) await crew.connect(way, script);
  over.abort();
  await looking;
  return judge(evidenceOf(crew, clock.now()));
}

function evidenceOf(crew: Crew, endMs: number): Evidence {
  const resources = { descriptors: 30, names: [], memoryMib: 50 };
  return {
    schedule: { ...createSchedule(1, 1), strikes: [] },
    connections: crew.connections,
    strikes: [],
    histories: { near: [{ atMs: 0, state: 'up', since: 'then' }] },
    losses: {},
    before: resources,
    after: resources,
    leftOpen: 0,
    unserved: [],
    forwards: {},
    calmMs: endMs,
    endMs,
    sshdLogs: { near: '', inner: '' },
    supervisorLog: '',
  };
}

describe('a wire', () => {
  test('breaks nothing, whatever the clients do', async () => {
    const { broken, figures } = await verdictOn('none', null);
    expect(broken).toEqual([]);
    expect(figures).toMatchObject({ altered: 0, falseEnds: 0, hung: 0, refused: 0 });
    expect(figures.whole).toBeGreaterThan(20);
  });
});

describe('a relay', () => {
  test.each([
    ['flip', 'altered', /altered/],
    ['drop', 'altered', /altered|missing/],
    ['repeat', 'altered', /altered|repeated|bytes came/],
    ['swap', 'altered', /altered|missing|repeated/],
    ['end', 'falseEnds', /told of an end after \d+ bytes/],
    ['hang', 'hung', /nothing happened for \d+ ms/],
    ['reset', 'cut', /ECONNRESET.*up all the time/],
  ] as const)('that lies by "%s" is caught as %s', async (lie, figure, words) => {
    const { broken, figures } = await verdictOn(lie);
    expect(figures[figure]).toBeGreaterThanOrEqual(3);
    expect(
      broken.some(({ text }) => words.test(text)),
      JSON.stringify(broken),
    ).toBe(true);
  });

  test('that is not there is a refused connection', async () => {
    using clock = startFairClock();
    const crew = new Crew({ clock, patience: () => null, mayConnect: () => true });
    const port = await freePort();
    await crew.connect({ ...straight, at: () => port });
    expect(judge(evidenceOf(crew, clock.now()))).toMatchObject({
      figures: { refused: 1 },
      broken: [{ invariant: 'refused' }],
    });
  });
});
