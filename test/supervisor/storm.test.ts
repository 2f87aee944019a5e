// Storms: commands, losses, clients and answers in any order. Nothing leaks, and everything can still come up.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Person } from '../../src/supervisor/engine.ts';
import { settle } from '../helpers/fake-clock.ts';
import { kexFailed, lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import {
  configOf,
  hostOf,
  local,
  offTerminal,
  onTerminal,
  remote,
  tunnelOf,
  worldOf,
} from '../helpers/fake-world.ts';
import type { World } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const bastion = hostOf('bastion');
const tunnels = [
  tunnelOf('a', [katie], local(1)),
  tunnelOf('b', [katie], [local(2), remote(8080)]),
  tunnelOf('c', [bastion, katie], local(3)),
  tunnelOf('d', [bastion, hostOf('inner')], local(4), { lazy: true, idleTimeoutMs: 20_000 }),
  tunnelOf('e', [bastion, katie], local(5), { ways: [[bastion, katie], [katie]] }),
  tunnelOf('f', [bastion], local(6), { share: false, after: ['a'] }),
];
const names = tunnels.map(({ name }) => name);
const moved = [tunnelOf('a', [bastion], local(1)), ...tunnels.slice(1, 4), tunnelOf('g', [katie], local(5))];
const person: Person = { question: () => {}, withdrawn: () => {}, banner: () => {} };

type Act = (world: World, pick: number) => unknown;
const at = <T>(list: readonly T[], pick: number): T | undefined => list[pick % Math.max(1, list.length)];
const name = (pick: number): string => names[pick % names.length] ?? 'a';

const acts: Record<string, Act> = {
  up: ({ engine }, pick) => engine.up([name(pick)], offTerminal),
  upHere: ({ engine }, pick) => engine.up([name(pick)], onTerminal),
  upAll: ({ engine }) => engine.up(names, offTerminal),
  down: ({ engine }, pick) => void engine.down([name(pick)], 0),
  drain: ({ engine }, pick) => void engine.down([name(pick)], 5_000),
  restart: ({ engine }, pick) => void engine.restart([name(pick), name(pick + 1)], offTerminal),
  open: ({ dialer }, pick) => at(dialer.dials, pick)?.open(pick % 5 === 0),
  open2: ({ dialer }, pick) => at(dialer.dials, pick)?.open(),
  unreachable: ({ dialer }, pick) => at(dialer.dials, pick)?.fail(unreachable()),
  kexFailed: ({ dialer }, pick) => at(dialer.dials, pick)?.fail(kexFailed()),
  refused: ({ dialer }, pick) => at(dialer.dials, pick)?.fail(refused()),
  answered: ({ dialer }, pick) => at(dialer.reaches, pick)?.answer(),
  lost: ({ dialer }, pick) =>
    at(
      dialer.sessions.filter(({ ended }) => !ended),
      pick,
    )?.end(lost()),
  time: ({ clock }, pick) => clock.advance((pick % 100) * 400),
  client: ({ ports }, pick) => at(ports.carriers, pick)?.clientWaits(),
  flows: ({ ports }, pick) => at(ports.carriers, pick)?.flows(pick % 2),
  lookedAround: ({ engine }) => engine.lookAround('storm'),
  recheck: ({ engine }) => engine.recheck([]),
  keys: ({ dialer }, pick) => void (dialer.digest = `d${pick}`),
  file: ({ engine }, pick) =>
    engine.apply(configOf(...(pick % 2 ? moved : tunnels)), { prune: pick % 3 === 0 }),
  deaf: ({ dialer }, pick) => void (dialer.deaf = pick % 2 === 0),
  attend: ({ engine }, pick) => void setImmediate(engine.attend([name(pick)], person)),
};

/** One live session for each link at most; a session without a link is a leak. */
function check({ engine, dialer }: World): void {
  const status = engine.status(engine.known().map((known) => known.name));
  for (const { state, error, retryAt, name: of } of status) {
    if (state === 'up' || state === 'asleep') expect(error, `${of} is ${state}`).toBeNull();
    if (state === 'needs-you' || state === 'retrying') expect(error, `${of} is ${state}`).not.toBeNull();
    if (retryAt !== null) expect(['retrying', 'needs-you']).toContain(state);
  }
  const noLink = status.every(({ link }) => link === null);
  if (noLink && status.every(({ state }) => state === 'down'))
    expect(dialer.dials.filter(({ context }) => !context.signal.aborted)).toHaveLength(0);
}

async function comesUp(world: World): Promise<void> {
  await world.engine.apply(configOf(...tunnels), { prune: true });
  world.engine.attend(names, person);
  for (let round = 0; round < 12; round += 1) {
    world.engine.up(names, onTerminal);
    await settle();
    for (const dial of Array.from(world.dialer.dials)) await dial.open();
    for (const reach of Array.from(world.dialer.reaches)) await reach.answer();
    await world.clock.advance(6_000);
  }
  const states = world.engine.status(names).map(({ name: of, state }) => `${of} ${state}`);
  expect(states.filter((text) => !/ (up|asleep)$/.test(text))).toEqual([]);
}

async function comesDown(world: World): Promise<void> {
  await world.engine.apply(configOf(), { prune: true });
  await world.engine.down(
    world.engine.known().map((known) => known.name),
    0,
  );
  for (const carrier of world.ports.carriers) carrier.resetConnections();
  await world.clock.advance(10_000);
  await world.engine.close(0);
  for (const dial of Array.from(world.dialer.dials)) await dial.open();
  expect(world.dialer.liveSessions, 'no leaked session').toBe(0);
  expect(world.clock.pending, 'no leaked timer').toBe(0);
  expect(world.dialer.dials, 'no dial under way').toHaveLength(0);
  expect(world.dialer.reaches, 'no connect of the watch under way').toHaveLength(0);
  expect([...world.ports.taken], 'no port bound').toEqual([]);
}

test(
  'whatever happened, everything comes up and goes down without a trace',
  { timeout: 120_000 },
  async () => {
    const act = fc.tuple(fc.constantFrom(...Object.keys(acts)), fc.nat(97));
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { minLength: 5, maxLength: 50 }),
        fc.boolean(),
        async (steps, finallyUp) => {
          const world = await worldOf(...tunnels);
          for (const [what, pick] of steps) {
            await acts[what]?.(world, pick);
            await settle();
            check(world);
          }
          if (finallyUp) await comesUp(world);
          await comesDown(world);
        },
      ),
      {
        numRuns: Number(process.env['STORMS'] ?? 150),
        seed: Number(process.env['SEED'] ?? 20_261_122),
        endOnFailure: false,
      },
    );
  },
);
