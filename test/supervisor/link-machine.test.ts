// The whole table of the link machine, and walks through it with a small model of session and timer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { backoffMs, noDoubts, renewalAt, step } from '../../src/supervisor/link-machine.ts';
import type { Doubts, LinkEvent, LinkState } from '../../src/supervisor/link-machine.ts';

const tcpDown = new TunnelError('UNREACHABLE', 'refused', { facts: { tcpLevel: true } });
const silent = new TunnelError('LINK_LOST', 'silence');
const person = new TunnelError('AUTH_REFUSED', 'no');
const bug = new TunnelError('INTERNAL', 'undefined is not a function');
const now = 1_000_000;
const env = {
  policy: { initialMs: 500, maxMs: 30_000 },
  now,
  rotateMs: null,
  renewAtMs: null,
  doubles: true,
  held: false,
  random: () => 0.5,
};

const doubted = (dials: number, agoMs = 0): Doubts => ({ dials, lastMs: now - agoMs });

const states = {
  idle: { kind: 'idle' },
  connecting: { kind: 'connecting', attempt: 3, hurried: 1 },
  first: { kind: 'connecting', attempt: 0, hurried: 0 },
  up: { kind: 'up', sinceMs: now - 30_000, attempt: 3, second: null, doubts: noDoubts },
  fresh: { kind: 'up', sinceMs: now - 29_999, attempt: 0, second: null, doubts: noDoubts },
  flapping: { kind: 'up', sinceMs: now - 29_999, attempt: 5, second: null, doubts: noDoubts },
  short: { kind: 'up', sinceMs: now - 4_999, attempt: 0, second: null, doubts: noDoubts },
  shorter: { kind: 'up', sinceMs: now - 1, attempt: 5, second: null, doubts: noDoubts },
  seconding: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'opening', tries: 1, why: 'age' },
    doubts: noDoubts,
  },
  secondWaits: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'waiting', tries: 2, why: 'age' },
    doubts: noDoubts,
  },
  renewing: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'opening', tries: 1, why: 'certificate' },
    doubts: noDoubts,
  },
  late: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'opening', tries: 1, why: 'silence' },
    doubts: doubted(2, 5_000),
  },
  lateWaits: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'waiting', tries: 2, why: 'silence' },
    doubts: doubted(2, 5_000),
  },
  following: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'opening', tries: 0, why: 'jump' },
    doubts: noDoubts,
  },
  followWaits: {
    kind: 'up',
    sinceMs: now - 60_000,
    attempt: 3,
    second: { kind: 'waiting', tries: 1, why: 'jump' },
    doubts: noDoubts,
  },
  waiting: { kind: 'waiting', attempt: 3, hurried: 1, untilMs: now + 9_000, cause: silent },
  soon: { kind: 'waiting', attempt: 3, hurried: 0, untilMs: now + 1_000, cause: silent },
  spent: { kind: 'waiting', attempt: 3, hurried: 2, untilMs: now + 9_000, cause: silent },
  blocked: { kind: 'blocked', cause: person },
  stopping: { kind: 'stopping', again: false },
  again: { kind: 'stopping', again: true },
} satisfies Record<string, LinkState>;

const events = {
  start: { kind: 'start' },
  stop: { kind: 'stop' },
  kick: { kind: 'kick' },
  hurry: { kind: 'hurry' },
  answered: { kind: 'answered' },
  opened: { kind: 'opened' },
  failed: { kind: 'failed', cause: silent },
  unreachable: { kind: 'failed', cause: tcpDown },
  lost: { kind: 'lost', cause: silent },
  refused: { kind: 'failed', cause: person },
  bug: { kind: 'failed', cause: bug },
  timer: { kind: 'timer' },
  closed: { kind: 'closed' },
  planned: { kind: 'planned' },
  due: { kind: 'due' },
  secondOpened: { kind: 'second-opened' },
  secondFailed: { kind: 'second-failed', cause: silent },
  secondRefused: { kind: 'second-failed', cause: person },
  late: { kind: 'late' },
  alive: { kind: 'alive' },
  jumpReplaced: { kind: 'jump-replaced' },
  notRenewed: { kind: 'not-renewed', endsAtMs: now },
} satisfies Record<string, LinkEvent>;

type Row = readonly [keyof typeof states, keyof typeof events, LinkState, string];
const connecting = (attempt: number, hurried = 0): LinkState => ({ kind: 'connecting', attempt, hurried });
const waiting = (attempt: number, ms: number, cause = silent, hurried = 0): LinkState => ({
  kind: 'waiting',
  attempt,
  hurried,
  untilMs: now + ms,
  cause,
});
const stopping: LinkState = { kind: 'stopping', again: false };
const blocked: LinkState = { kind: 'blocked', cause: person };

const table: readonly Row[] = [
  ['idle', 'start', connecting(0), 'open'],
  ['connecting', 'stop', stopping, 'close'],
  ['connecting', 'opened', { kind: 'up', sinceMs: now, attempt: 3, second: null, doubts: noDoubts }, ''],
  ['connecting', 'failed', waiting(4, 1000, silent, 1), 'close arm 1000'],
  ['connecting', 'lost', waiting(4, 1000, silent, 1), 'close arm 1000'],
  ['connecting', 'unreachable', waiting(4, 1000, tcpDown, 1), 'close arm 1000'],
  ['connecting', 'refused', blocked, 'close'],
  ['connecting', 'bug', { kind: 'blocked', cause: bug }, 'close'],
  ['first', 'stop', stopping, 'close'],
  ['first', 'opened', { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts }, ''],
  ['first', 'failed', waiting(1, 1000), 'close arm 1000'],
  ['first', 'lost', waiting(1, 1000), 'close arm 1000'],
  ['first', 'unreachable', waiting(1, 1000, tcpDown), 'close arm 1000'],
  ['first', 'refused', blocked, 'close'],
  ['first', 'bug', { kind: 'blocked', cause: bug }, 'close'],
  ['up', 'stop', stopping, 'close'],
  ['up', 'kick', states.up, 'probe'],
  ['up', 'lost', connecting(1), 'close open'],
  ['up', 'failed', connecting(1), 'close open'],
  ['up', 'unreachable', connecting(1), 'close open'],
  ['up', 'refused', blocked, 'close'],
  ['up', 'bug', connecting(1), 'close open'],
  ['fresh', 'stop', stopping, 'close'],
  ['fresh', 'kick', states.fresh, 'probe'],
  ['fresh', 'lost', connecting(1), 'close open'],
  ['fresh', 'failed', connecting(1), 'close open'],
  ['fresh', 'unreachable', connecting(1), 'close open'],
  ['fresh', 'refused', blocked, 'close'],
  ['fresh', 'bug', connecting(1), 'close open'],
  ['flapping', 'stop', stopping, 'close'],
  ['flapping', 'kick', states.flapping, 'probe'],
  ['flapping', 'bug', connecting(6), 'close open'],
  ['flapping', 'lost', connecting(6), 'close open'],
  ['flapping', 'failed', connecting(6), 'close open'],
  ['flapping', 'unreachable', connecting(6), 'close open'],
  ['flapping', 'refused', blocked, 'close'],
  ['short', 'stop', stopping, 'close'],
  ['short', 'kick', states.short, 'probe'],
  ['short', 'lost', waiting(1, 1000), 'close arm 1000'],
  ['short', 'failed', waiting(1, 1000), 'close arm 1000'],
  ['short', 'unreachable', waiting(1, 1000, tcpDown), 'close arm 1000'],
  ['short', 'bug', waiting(1, 1000, bug), 'close arm 1000'],
  ['short', 'refused', blocked, 'close'],
  ['shorter', 'stop', stopping, 'close'],
  ['shorter', 'kick', states.shorter, 'probe'],
  ['shorter', 'lost', waiting(6, 4000), 'close arm 4000'],
  ['shorter', 'failed', waiting(6, 4000), 'close arm 4000'],
  ['shorter', 'unreachable', waiting(6, 4000, tcpDown), 'close arm 4000'],
  ['shorter', 'bug', waiting(6, 4000, bug), 'close arm 4000'],
  ['shorter', 'refused', blocked, 'close'],
  ...(['up', 'fresh', 'flapping', 'short', 'shorter'] as const).map((state): Row => [
    state,
    'planned',
    states[state],
    'unplan',
  ]),
  ...(['up', 'fresh', 'flapping', 'short', 'shorter', 'secondWaits'] as const).map((state): Row => [
    state,
    'late',
    { ...states[state], second: { kind: 'opening', tries: 0, why: 'silence' }, doubts: doubted(1) },
    'unplan open-second',
  ]),
  ...(
    ['up', 'fresh', 'flapping', 'short', 'shorter', 'secondWaits', 'lateWaits', 'followWaits'] as const
  ).map((state): Row => [
    state,
    'jumpReplaced',
    { ...states[state], second: { kind: 'opening', tries: 0, why: 'jump' } },
    'unplan open-second',
  ]),
  ...(['seconding', 'renewing', 'late', 'following'] as const).map((state): Row => [
    state,
    'jumpReplaced',
    { ...states[state], second: { kind: 'opening', tries: 0, why: 'jump' } },
    'close-second open-second',
  ]),
  ...(['seconding', 'renewing'] as const).flatMap((state): Row[] => [
    [state, 'late', { ...states[state], second: { ...states[state].second, why: 'silence' } }, ''],
    [state, 'secondFailed', { ...states[state], second: null }, 'unplan'],
    [state, 'secondRefused', { ...states[state], second: null }, 'unplan'],
  ]),
  ...(['late', 'following'] as const).map((state): Row => [
    state,
    'secondRefused',
    { ...states[state], second: null, doubts: { ...states[state].doubts, dials: Infinity } },
    'unplan',
  ]),
  ['late', 'alive', { ...states.late, second: null }, 'close-second unplan'],
  ['late', 'secondFailed', { ...states.lateWaits }, 'plan 250'],
  ['following', 'secondFailed', { ...states.followWaits }, 'plan 1000'],
  ...(['seconding', 'renewing', 'late', 'following'] as const).flatMap((state): Row[] => [
    [state, 'stop', stopping, 'close'],
    [state, 'kick', states[state], 'probe'],
    [state, 'lost', connecting(1), 'close open'],
    [state, 'failed', connecting(1), 'close open'],
    [state, 'unreachable', connecting(1), 'close open'],
    [state, 'bug', connecting(1), 'close open'],
    [state, 'refused', blocked, 'close'],
    [
      state,
      'secondOpened',
      { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: states[state].doubts },
      'drain unplan',
    ],
    [state, 'notRenewed', { ...states[state], second: null }, 'forgo unplan'],
  ]),
  ...(['secondWaits', 'lateWaits', 'followWaits'] as const).flatMap((state): Row[] => [
    [state, 'stop', stopping, 'close'],
    [state, 'kick', states[state], 'probe'],
    [state, 'lost', connecting(1), 'close open'],
    [state, 'failed', connecting(1), 'close open'],
    [state, 'unreachable', connecting(1), 'close open'],
    [state, 'bug', connecting(1), 'close open'],
    [state, 'refused', blocked, 'close'],
  ]),
  [
    'lateWaits',
    'due',
    { ...states.lateWaits, second: { ...states.late.second, tries: 2 }, doubts: doubted(3) },
    'open-second',
  ],
  [
    'followWaits',
    'due',
    { ...states.following, second: { ...states.following.second, tries: 1 } },
    'open-second',
  ],
  ['lateWaits', 'alive', { ...states.lateWaits, second: null }, 'unplan'],
  ['secondWaits', 'planned', { ...states.secondWaits, second: null }, 'unplan'],
  ['waiting', 'stop', stopping, 'disarm close'],
  ['waiting', 'kick', connecting(3, 1), 'disarm open'],
  ['waiting', 'timer', connecting(3, 1), 'open'],
  ['waiting', 'hurry', waiting(3, 1000, silent, 2), 'disarm arm 1000'],
  ['soon', 'stop', stopping, 'disarm close'],
  ['soon', 'kick', connecting(3), 'disarm open'],
  ['soon', 'timer', connecting(3), 'open'],
  ['spent', 'stop', stopping, 'disarm close'],
  ['spent', 'kick', connecting(3, 2), 'disarm open'],
  ['spent', 'timer', connecting(3, 2), 'open'],
  ['blocked', 'stop', stopping, 'close'],
  ['blocked', 'answered', connecting(0), 'open'],
  ['stopping', 'start', states.again, ''],
  ['stopping', 'stop', stopping, ''],
  ['stopping', 'closed', states.idle, ''],
  ['again', 'start', states.again, ''],
  ['again', 'stop', stopping, ''],
  ['again', 'closed', connecting(0), 'open'],
];

const effectText = (effect: ReturnType<typeof step>['effects'][number]): string =>
  'delayMs' in effect ? `${effect.kind} ${effect.delayMs}` : effect.kind;

describe('the table', () => {
  const pairs = Object.keys(states).flatMap((state) => Object.keys(events).map((event) => [state, event]));
  test.each(pairs as [keyof typeof states, keyof typeof events][])('%s on %s', (from, on) => {
    const row = table.find(([state, event]) => state === from && event === on);
    const { state, effects } = step(states[from], events[on], env);
    expect(state).toEqual(row?.[2] ?? states[from]);
    expect(effects.map(effectText).join(' ')).toBe(row?.[3] ?? '');
  });

  test('what is not in it gives back the very same state', () => {
    expect(step(states.idle, events.kick, env).state).toBe(states.idle);
    expect(step(states.blocked, events.kick, env).state).toBe(states.blocked);
  });
});

/** With `rotate: 100s`; every event that is not here does what the table above says. */
const rotating: readonly Row[] = [
  [
    'first',
    'opened',
    { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts },
    'plan 100000',
  ],
  ['up', 'planned', states.up, 'plan 70000'],
  ['up', 'due', { ...states.up, second: { kind: 'opening', tries: 0, why: 'age' } }, 'open-second'],
  ['up', 'secondOpened', states.up, ''],
  ['up', 'secondFailed', states.up, ''],
  ['seconding', 'due', states.seconding, ''],
  ['seconding', 'planned', states.seconding, ''],
  ['seconding', 'lost', connecting(1), 'close open'],
  [
    'seconding',
    'secondOpened',
    { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts },
    'drain plan 100000',
  ],
  [
    'seconding',
    'secondFailed',
    { ...states.seconding, second: { kind: 'waiting', tries: 2, why: 'age' } },
    'plan 250',
  ],
  [
    'seconding',
    'secondRefused',
    { ...states.seconding, second: { kind: 'waiting', tries: 2, why: 'age' } },
    'plan 100000',
  ],
  [
    'secondWaits',
    'due',
    { ...states.seconding, second: { kind: 'opening', tries: 2, why: 'age' } },
    'open-second',
  ],
  ['secondWaits', 'planned', { ...states.secondWaits, second: null }, 'plan 40000'],
  ['late', 'alive', { ...states.late, second: null }, 'close-second plan 40000'],
  ['late', 'secondRefused', { ...states.late, second: null, doubts: doubted(Infinity, 5_000) }, 'plan 40000'],
  [
    'late',
    'secondOpened',
    { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: doubted(2, 5_000) },
    'drain plan 100000',
  ],
  ['lateWaits', 'alive', { ...states.lateWaits, second: null }, 'plan 40000'],
  ['lateWaits', 'planned', states.lateWaits, ''],
  ['waiting', 'due', states.waiting, ''],
  ['connecting', 'planned', states.connecting, ''],
];

describe('a session that is to be replaced', () => {
  test.each(rotating)('%s on %s', (from, on, after, effects) => {
    const took = step(states[from], events[on], { ...env, rotateMs: 100_000 });
    expect(took.state).toEqual(after);
    expect(took.effects.map(effectText).join(' ')).toBe(effects);
  });
});

/** With a certificate that is to be renewed in 20 s. */
const renewing: readonly Row[] = [
  ['first', 'opened', { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts }, 'plan 20000'],
  ['up', 'planned', states.up, 'plan 20000'],
  ['up', 'kick', states.up, 'probe plan 20000'],
  ['up', 'due', { ...states.up, second: { kind: 'opening', tries: 0, why: 'certificate' } }, 'open-second'],
  ['up', 'notRenewed', states.up, ''],
  ['renewing', 'kick', states.renewing, 'probe'],
  ['renewing', 'due', states.renewing, ''],
  ['renewing', 'notRenewed', { ...states.renewing, second: null }, 'forgo unplan'],
  ['renewing', 'secondRefused', { ...states.renewing, second: null }, 'forgo unplan'],
  [
    'renewing',
    'secondFailed',
    { ...states.renewing, second: { kind: 'waiting', tries: 2, why: 'certificate' } },
    'plan 250',
  ],
  [
    'renewing',
    'secondOpened',
    { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts },
    'drain plan 20000',
  ],
  ['renewing', 'lost', connecting(1), 'close open'],
  ['renewing', 'stop', stopping, 'close'],
];

describe('a session whose certificate ends', () => {
  const ending = { ...env, renewAtMs: now + 20_000 };

  test.each(renewing)('%s on %s', (from, on, after, effects) => {
    const took = step(states[from], events[on], ending);
    expect(took.state).toEqual(after);
    expect(took.effects.map(effectText).join(' ')).toBe(effects);
  });

  test('is due by its age where that comes first, and by its age alone once the certificate was not renewed', () => {
    const both = { ...ending, rotateMs: 40_000 };
    expect(step(states.up, events.due, both).state).toMatchObject({ second: { why: 'age' } });
    expect(step(states.up, events.due, { ...both, rotateMs: 90_000 }).state).toMatchObject({
      second: { why: 'certificate' },
    });
    const { effects } = step(states.renewing, events.notRenewed, { ...both, rotateMs: 90_000 });
    expect(effects.map(effectText)).toEqual(['forgo', 'plan 30000']);
  });

  test.each([
    ['5 min before, of a long one', 7_200_000, 6_900_000],
    ['at 90 % of a short one', 60_000, 54_000],
    ['never by one that has ended by our clock', 0, null],
    ['as long before as a command makes a new one', 7_200_000, 6_600_000, 600_000],
    ['later than that, where it lasts hardly longer', 700_000, 630_000, 600_000],
    ['late, where the command makes a new one late', 7_200_000, 7_190_000, 10_000],
  ])('is to be replaced %s', (_what, leftMs, afterMs, renewBeforeMs?: number) => {
    const at = renewalAt({ id: 'one', endsAtMs: now + leftMs }, now, renewBeforeMs);
    expect(at === null ? null : at - now).toBe(afterMs);
  });
});

describe('a second session on suspicion', () => {
  test.each(['late', 'jumpReplaced'] as const)(
    'is never dialled where a person let the first in (%s)',
    (on) => {
      expect(step(states.up, events[on], { ...env, doubles: false })).toEqual({
        state: states.up,
        effects: [],
      });
    },
  );

  test('waits by the backoff where others came to be dialled shortly before, and not after a minute of calm', () => {
    const again = (agoMs: number): ReturnType<typeof step> =>
      step({ ...states.up, doubts: doubted(4, agoMs) }, events.late, env);
    const { state, effects } = again(59_999);
    expect(state).toMatchObject({ second: { kind: 'waiting', tries: 4, why: 'silence' } });
    expect(effects.map(effectText)).toEqual(['plan 1000']);
    expect(again(60_000).effects.map(effectText)).toEqual(['unplan', 'open-second']);
  });

  test('is not dialled any more once its login was refused, until one is let in', () => {
    const barred: LinkState = { ...states.up, doubts: doubted(Infinity) };
    for (const on of ['late', 'jumpReplaced'] as const)
      expect(step(barred, events[on], env)).toEqual({ state: barred, effects: [] });
    const seconding: LinkState = { ...states.seconding, doubts: doubted(Infinity) };
    expect(step(seconding, events.secondOpened, env).state).toMatchObject({ doubts: noDoubts });
  });
});

describe('while a client is held', () => {
  const held = { ...env, held: true, random: () => 0.999 };

  test('the next two waits are at most 1 s, however many outages were before; then the count goes on', () => {
    let { state } = step(
      { kind: 'up', sinceMs: now - 4_000, attempt: 9, second: null, doubts: noDoubts },
      events.lost,
      held,
    );
    const waits: number[] = [];
    for (let tries = 0; tries < 4; tries += 1) {
      if (state.kind !== 'waiting') throw new Error(`it is ${state.kind}`);
      waits.push(state.untilMs - now);
      state = step(step(state, events.timer, held).state, events.failed, held).state;
    }
    expect(waits).toEqual([1000, 1000, 29_970, 29_970]);
  });

  test('a server that ends each session right after the login is not dialled more than once a second', () => {
    let state: LinkState = { kind: 'up', sinceMs: now, attempt: 0, second: null, doubts: noDoubts };
    for (let logins = 0; logins < 20; logins += 1) {
      const ended = step(state, events.lost, { ...held, random: () => 0 });
      expect(ended.effects).toContainEqual({ kind: 'arm', delayMs: 1000 });
      state = step(step(ended.state, events.timer, held).state, events.opened, held).state;
    }
  });
});

/** What the effects do to a session and a timer; throws when they contradict what is there. */
class Model {
  state: LinkState = { kind: 'idle' };
  session: 'none' | 'opening' | 'open' = 'none';
  timer = false;
  planned = false;
  renewable = true;
  second: 'none' | 'opening' | 'open' = 'none';
  closing = 0;
  now = 0;

  send(event: LinkEvent): void {
    const { state, effects } = step(this.state, event, {
      ...env,
      rotateMs: 20_000,
      renewAtMs: this.renewable ? this.now + 10_000 : null,
      now: this.now,
    });
    this.state = state;
    for (const effect of effects) this.perform(effect);
    this.check();
  }

  /** An event from the world, if it can happen; late ones are dropped by their number, as the runner does. */
  world(name: keyof typeof events, afterMs: number): void {
    this.now += afterMs;
    const event = events[name];
    if (name === 'timer' && !this.timer) return;
    if (name === 'timer') this.timer = false;
    if (name === 'opened' && this.session !== 'opening') return;
    if (name === 'opened') this.session = 'open';
    if (name === 'opened' || name === 'secondOpened') this.renewable = true;
    if (event.kind === 'failed' && this.session !== 'opening') return;
    if (event.kind === 'lost' && this.session !== 'open') return;
    if (name === 'due' && !this.planned) return;
    if (name === 'due') this.planned = false;
    if (event.kind.startsWith('second-') && this.second !== 'opening') return;
    if (name === 'secondOpened') this.second = 'open';
    if (event.kind === 'not-renewed' && this.second !== 'opening') return;
    if (event.kind === 'second-failed' || event.kind === 'not-renewed') this.second = 'none';
    if (name === 'closed' && this.closing === 0) return;
    if (name === 'closed') this.closing -= 1;
    this.send(event);
  }

  private perform({ kind }: { kind: string }): void {
    if (kind === 'open') {
      expect(this.session, 'no open while open').toBe('none');
      this.session = 'opening';
    } else if (kind === 'close') {
      this.session = 'none';
      this.second = 'none';
      this.planned = false;
      if (this.state.kind === 'stopping') this.closing = 1;
    } else if (kind === 'open-second') {
      expect(this.second, 'no second beside a second').toBe('none');
      this.second = 'opening';
    } else if (kind === 'close-second') {
      expect(this.second, 'ends what is dialled').toBe('opening');
      this.second = 'none';
    } else if (kind === 'drain') {
      expect(this.second, 'drains for one that is open').toBe('open');
      this.second = 'none';
    } else if (kind === 'plan' || kind === 'unplan') {
      this.planned = kind === 'plan';
    } else if (kind === 'arm') {
      expect(this.timer, 'no second timer').toBe(false);
      this.timer = true;
    } else if (kind === 'disarm') this.timer = false;
    else if (kind === 'forgo') this.renewable = false;
    else expect(this.session, 'probes what lives').toBe('open');
  }

  private check(): void {
    const wanted = { connecting: 'opening', up: 'open' }[this.state.kind as string] ?? 'none';
    expect(this.session, `in ${this.state.kind}`).toBe(wanted);
    expect(this.timer, `timer in ${this.state.kind}`).toBe(this.state.kind === 'waiting');
    const second = this.state.kind === 'up' ? this.state.second : null;
    expect(this.second, `second in ${this.state.kind}`).toBe(second?.kind === 'opening' ? 'opening' : 'none');
    expect(this.planned, `plan in ${this.state.kind}`).toBe(
      this.state.kind === 'up' && this.second === 'none',
    );
    if (this.state.kind === 'stopping') expect(this.closing, 'stopping ends').toBe(1);
  }
}

describe('walks', () => {
  const names = Object.keys(events) as (keyof typeof events)[];
  const walk = fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(60_000)), { maxLength: 60 });

  test('keep one session and one timer, and from everywhere lead to idle and to up', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(walk, fc.boolean(), (steps, towardsUp) => {
        const model = new Model();
        for (const [name, ms] of steps) {
          model.world(name, ms);
          seen.add(model.state.kind);
        }
        const way: (keyof typeof events)[] = towardsUp
          ? ['start', 'closed', 'timer', 'answered', 'opened']
          : ['stop', 'closed'];
        for (const name of way) model.world(name, 0);
        expect(model.state.kind).toBe(towardsUp ? 'up' : 'idle');
      }),
      { numRuns: 2000, seed: 7 },
    );
    expect([...seen].sort()).toEqual(['blocked', 'connecting', 'idle', 'stopping', 'up', 'waiting']);
  });
});

describe('backoff', () => {
  test('grows to the ceiling, never beyond, and starts over after 30 s up', () => {
    let state: LinkState = states.first;
    const ceilings: number[] = [];
    for (let i = 0; i < 1200; i += 1) {
      const failed = step(state, events.unreachable, { ...env, random: () => 0.999_999 });
      const arm = failed.effects.find((effect) => 'delayMs' in effect);
      ceilings.push(arm !== undefined && 'delayMs' in arm ? arm.delayMs : -1);
      state = step(failed.state, events.timer, env).state;
    }
    expect(ceilings.slice(0, 9)).toEqual([1000, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(Math.max(...ceilings)).toBe(30_000);
    const up: LinkState = {
      kind: 'up',
      sinceMs: now - 30_000,
      attempt: 1200,
      second: null,
      doubts: noDoubts,
    };
    expect(step(up, events.lost, env).state).toEqual(connecting(1));
  });
});

describe('backoff', () => {
  test('the first comes after 1 s, or the ceiling below that, and chance spreads the rest over the whole ceiling', () => {
    const policy = { initialMs: 500, maxMs: 30_000 };
    expect(backoffMs(1, policy, () => 0.99)).toBe(1_000);
    expect(backoffMs(1, { initialMs: 100, maxMs: 400 }, () => 0)).toBe(400);
    expect(backoffMs(2, policy, () => 0)).toBe(0);
    expect(backoffMs(5, policy, () => 0.5)).toBe(2_000);
    expect(backoffMs(2_000, policy, () => 0.5)).toBe(15_000);
  });
});
