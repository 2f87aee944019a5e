// The schedule: which fault strikes what, and when. Pure: a seed and a number of seconds give the same one for ever.
import { createRandom, type Random } from './random.ts';

/** A server and the line in front of it. `inner` is reached through `gate`, `near` straight. */
export type Place = 'near' | 'gate' | 'inner';
export const places: readonly Place[] = ['near', 'gate', 'inner'];
/** Where a fault strikes: at a place, or at the supervisor itself. */
export type Spot = Place | 'here';

export type Direction = 'up' | 'down';

/** What strikes. `forMs` is how long it lasts; what has none is over at once. */
export type Fault =
  /** The line delivers each byte later. */
  | { readonly kind: 'delay'; readonly delayMs: number; readonly forMs: number }
  | { readonly kind: 'rate'; readonly bytesPerSecond: number; readonly forMs: number }
  /** The next bytes each way are segments of one byte. */
  | { readonly kind: 'trickle'; readonly bytes: number; readonly forMs: number }
  /** The line's connections are reset, or ended, once so many more bytes went through. */
  | {
      readonly kind: 'cut';
      readonly afterBytes: number;
      readonly how: 'reset' | 'end';
      readonly forMs: number;
    }
  /** No byte moves, and nobody is told: on the whole line, or on the connections that it has now and not on new ones. */
  | {
      readonly kind: 'freeze';
      readonly who: 'all' | 'old';
      readonly directions: readonly Direction[];
      readonly forMs: number;
    }
  | { readonly kind: 'reset' }
  /** The line's connections are reset and its port is closed. */
  | { readonly kind: 'refuse'; readonly forMs: number }
  /** The processes that serve the sessions get a signal. */
  | { readonly kind: 'kill'; readonly signal: 'SIGKILL' | 'SIGTERM' | 'SIGHUP' }
  /** SIGSTOP, and SIGCONT later. */
  | { readonly kind: 'stop'; readonly who: 'sessions' | 'listener' | 'all'; readonly forMs: number }
  /** The whole server is killed and started again: at `gate` a jump host dies. */
  | { readonly kind: 'down'; readonly forMs: number }
  /** sshd reads its configuration anew (SIGHUP): it executes itself, its port is closed for a moment, sessions go on. */
  | { readonly kind: 'reload' }
  /** The supervisor sleeps, as a laptop does: SIGSTOP, and SIGCONT later. */
  | { readonly kind: 'sleep'; readonly forMs: number };

export type FaultKind = Fault['kind'];

export interface Strike {
  readonly atMs: number;
  readonly place: Spot;
  readonly fault: Fault;
}

export interface Schedule {
  readonly seed: number;
  readonly seconds: number;
  /** sshd_config's RekeyLimit of each server. */
  readonly rekey: Readonly<Record<Place, string>>;
  /** What the tunnels are told besides. */
  readonly holdMs: number;
  readonly compression: boolean;
  readonly cipher: string;
  /** `rotate` of the tunnels that listen here; null: none. `shared`: on the links that the remote forwards use too. */
  readonly rotate: { readonly everyMs: number; readonly shared: boolean } | null;
  readonly strikes: readonly Strike[];
}

export const endOf = ({ atMs, fault }: Strike): number => atMs + ('forMs' in fault ? fault.forMs : 0);

const rekeyLimits = ['64K', '64K', '256K', '1M', '16M 2s', '64M', 'default none'];
/** One with its own check of each packet, one whose length is hidden, one with a separate MAC. */
const ciphers = ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes256-ctr'];

/** Longest single fault: beyond what a keepalive of the suite's tunnels endures, so that both outcomes occur. */
const longestMs = 5000;

const draws: Readonly<Record<FaultKind, (random: Random, forMs: number) => Fault>> = {
  delay: (random, forMs) => ({ kind: 'delay', delayMs: random.scaled(2, 400), forMs }),
  rate: (random, forMs) => ({ kind: 'rate', bytesPerSecond: random.scaled(20_000, 5_000_000), forMs }),
  trickle: (random, forMs) => ({ kind: 'trickle', bytes: random.scaled(50, 20_000), forMs }),
  cut: (random, forMs) => ({
    kind: 'cut',
    afterBytes: random.scaled(1, 2_000_000),
    how: random.pick(['reset', 'end'] as const),
    forMs,
  }),
  freeze: (random, forMs) => ({
    kind: 'freeze',
    // drawn aside: the rest of a seed's schedule stays what it was before there was this
    who: random.fork(`who ${forMs}`).pick(['all', 'old'] as const),
    directions: random.pick<readonly Direction[]>([['up'], ['down'], ['up', 'down'], ['up', 'down']]),
    forMs,
  }),
  reset: () => ({ kind: 'reset' }),
  refuse: (_, forMs) => ({ kind: 'refuse', forMs }),
  kill: (random) => ({
    kind: 'kill',
    signal: random.pick(['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGHUP'] as const),
  }),
  stop: (random, forMs) => ({
    kind: 'stop',
    who: random.pick(['sessions', 'listener', 'all'] as const),
    forMs,
  }),
  down: (_, forMs) => ({ kind: 'down', forMs }),
  reload: () => ({ kind: 'reload' }),
  sleep: (_, forMs) => ({ kind: 'sleep', forMs }),
};

export const faultKinds = Object.keys(draws) as readonly FaultKind[];
/** What strikes at a spot, and how long it rests at most before the next. */
const spots: Readonly<Record<Spot, { readonly kinds: readonly FaultKind[]; readonly restMs: number }>> = {
  near: { kinds: faultKinds.filter((kind) => kind !== 'sleep'), restMs: 3500 },
  // a server behind a jump host suffers from the jump host's faults too
  gate: { kinds: faultKinds.filter((kind) => kind !== 'sleep'), restMs: 7000 },
  inner: { kinds: faultKinds.filter((kind) => kind !== 'sleep'), restMs: 7000 },
  here: { kinds: ['sleep'], restMs: 60_000 },
};

/**
 * One fault after the other at each place, places independent of each other, each kind about as often as the next.
 * `rest`: how many times longer it rests between faults than a chaos run does.
 */
export function createSchedule(seed: number, seconds: number, rest = 1): Schedule {
  const random = createRandom(seed).fork('schedule');
  const endMs = seconds * 1000;
  const strikes = (Object.keys(spots) as Spot[]).flatMap((spot) =>
    strikesAt(spot, { endMs, rest }, random.fork(spot)),
  );
  return {
    seed,
    seconds,
    rekey: {
      near: random.pick(rekeyLimits),
      gate: random.pick(rekeyLimits),
      inner: random.pick(rekeyLimits),
    },
    holdMs: random.pick([2000, 30_000]),
    compression: random.chance(0.25),
    cipher: random.pick(ciphers),
    rotate: drawRotation(random.fork('rotate')),
    strikes: strikes.sort((one, other) => one.atMs - other.atMs),
  };
}

/** An old session is there for 2 s in any case: between two rotations there is a time with one session. */
function drawRotation(random: Random): Schedule['rotate'] {
  if (random.chance(0.5)) return null;
  return { everyMs: random.integer(3000, 6000), shared: random.chance(0.5) };
}

function strikesAt(
  place: Spot,
  { endMs, rest }: { readonly endMs: number; readonly rest: number },
  random: Random,
): Strike[] {
  const { kinds } = spots[place];
  const restMs = spots[place].restMs * rest;
  const strikes: Strike[] = [];
  let atMs = random.scaled(100 * rest, restMs);
  let bag: FaultKind[] = [];
  while (atMs < endMs) {
    if (bag.length === 0) bag = shuffled(kinds, random);
    const kind = bag.pop() ?? 'reset';
    const forMs = Math.min(random.scaled(30, longestMs), Math.max(30, Math.round(endMs - atMs)));
    const strike = { atMs, place, fault: draws[kind](random, forMs) };
    strikes.push(strike);
    atMs = endOf(strike) + random.scaled(20 * rest, restMs);
  }
  return place === 'here'
    ? strikes
    : [...strikes, ...silencesBetween(strikes, endMs, random.fork('silences'))];
}

/** From what the first look of a keepalive may notice, to well beyond its last. */
const silence = { leastMs: 700, mostMs: 4500, marginMs: 50 };

/**
 * In half of the long rests between two faults, or after the last, the connections that are there fall silent while new ones are
 * served: what has a session doubted. Drawn aside, as all that was not there when seeds were first kept.
 */
function silencesBetween(strikes: readonly Strike[], endMs: number, random: Random): Strike[] {
  const { leastMs, mostMs, marginMs } = silence;
  return strikes.flatMap((strike, index) => {
    const fromMs = endOf(strike) + marginMs;
    const roomMs = (strikes[index + 1]?.atMs ?? endMs) - marginMs - fromMs;
    if (roomMs < leastMs || random.chance(0.5)) return [];
    const forMs = random.integer(leastMs, Math.min(roomMs, mostMs));
    const directions = random.pick<readonly Direction[]>([['down'], ['up', 'down'], ['up', 'down']]);
    const fault: Fault = { kind: 'freeze', who: 'old', directions, forMs };
    return [{ atMs: fromMs + random.integer(0, roomMs - forMs), place: strike.place, fault }];
  });
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const left = [...list];
  return list.map(() => left.splice(random.integer(0, left.length - 1), 1)[0] as T);
}

/** A fault in words, for the timeline of a run that failed. */
export function describe({ place, fault }: Strike): string {
  const { kind, ...more } = fault;
  return `${kind} at ${place} ${JSON.stringify(more)}`;
}
