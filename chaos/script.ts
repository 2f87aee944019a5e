// What the two ends of a connection do, step by step, drawn by lot. Pure.
import { largestContent } from './blocks.ts';
import type { Random } from './random.ts';

export type Step =
  /** Blocks with contents of these lengths, one after the other, as fast as they are taken. */
  | { readonly kind: 'send'; readonly lengths: readonly number[] }
  /** Until so many blocks of the other end are there in all. */
  | { readonly kind: 'await'; readonly blocks: number }
  | { readonly kind: 'pause'; readonly ms: number }
  /** The end of what this side sends; the other direction goes on. */
  | { readonly kind: 'end' }
  /** Until the other end has ended. */
  | { readonly kind: 'awaitEnd' }
  /** Goes away in the middle: with a reset, or as a process does that ends. */
  | { readonly kind: 'leave'; readonly how: 'reset' | 'close' };

/** Reads so much, then nothing for a while, until so much was read; then as fast as it comes. */
export interface Pace {
  readonly bytes: number;
  readonly pauseMs: number;
  readonly upToBytes: number;
}

export interface Part {
  readonly steps: readonly Step[];
  readonly pace: Pace | null;
}

export interface Script {
  readonly kind: ScriptKind;
  readonly client: Part;
  readonly target: Part;
}

/** Longest pause between two steps, and longest time in which a slow reader reads nothing. */
export const longestPauseMs = 1500;

/** Blocks of one direction: mostly small, now and then more than any window. */
function blocksOf(random: Random): number[] {
  const total = random.pick([0, 1000, 50_000, 50_000, 300_000, 1_000_000, 3_000_000]) * random.next();
  const largest = random.scaled(1, largestContent);
  const lengths: number[] = [];
  for (let left = total; left > 0 && lengths.length < 300; left -= lengths.at(-1) ?? 0)
    lengths.push(random.integer(1, largest));
  return lengths;
}

const part = (steps: readonly Step[], pace: Pace | null = null): Part => ({ steps, pace });
const send = (lengths: readonly number[]): Step => ({ kind: 'send', lengths });
/** Every client sends at least one block: it names the connection. */
const hello = (random: Random): Step => send([random.integer(0, 100), ...blocksOf(random)]);
const end: Step = { kind: 'end' };
const awaitEnd: Step = { kind: 'awaitEnd' };

function slowPace(random: Random): Pace {
  const bytes = random.scaled(1000, 64 * 1024);
  return { bytes, pauseMs: random.scaled(5, 200), upToBytes: bytes * random.integer(3, 15) };
}

function talk(random: Random, pause: (random: Random) => number): { client: Part; target: Part } {
  const turns = random.integer(1, 20);
  const client: Step[] = [];
  const target: Step[] = [];
  for (let turn = 1; turn <= turns; turn += 1) {
    client.push(send([random.scaled(1, 20_000)]), { kind: 'await', blocks: turn });
    target.push({ kind: 'await', blocks: turn }, send([random.scaled(1, 20_000)]));
    const ms = pause(random);
    if (ms > 0) client.push({ kind: 'pause', ms });
  }
  return { client: part([...client, end]), target: part([...target, awaitEnd, end]) };
}

/** Sends some, waits for some, and goes. */
function leaving(random: Random): readonly Step[] {
  const leave: Step = { kind: 'leave', how: random.pick(['reset', 'close'] as const) };
  // at once: the reset then comes together with the last bytes
  if (random.chance(0.5)) return [hello(random), leave];
  return [hello(random), { kind: 'pause', ms: random.scaled(1, 500) }, leave];
}

const kinds = {
  /** Both send at once, both end when they have sent. */
  exchange: (random: Random) => ({
    client: part([hello(random), end]),
    target: part([send(blocksOf(random)), end]),
  }),
  /** The client ends first, and is answered afterwards. */
  ask: (random: Random) => ({
    client: part([hello(random), end]),
    target: part([awaitEnd, send(blocksOf(random)), end]),
  }),
  /** The target ends first, and hears the rest afterwards. */
  told: (random: Random) => ({
    client: part([send([1]), awaitEnd, hello(random), end]),
    target: part([send(blocksOf(random)), end]),
  }),
  talk: (random: Random) => talk(random, () => 0),
  /** A conversation with long silences: it outlives faults, or dies of them. */
  idle: (random: Random) => talk(random, () => random.scaled(50, longestPauseMs)),
  slowClient: (random: Random) => ({
    client: part([hello(random), end], slowPace(random)),
    target: part([send(blocksOf(random)), end]),
  }),
  slowTarget: (random: Random) => ({
    client: part([hello(random), end]),
    target: part([send(blocksOf(random)), end], slowPace(random)),
  }),
  /** The client goes in the middle. */
  abandon: (random: Random) => ({
    client: part(leaving(random)),
    target: part([send(blocksOf(random)), awaitEnd, end]),
  }),
  /** The target has ended, and the client goes in the middle of what it still had to say. */
  abandonTold: (random: Random) => ({
    client: part([send([1]), awaitEnd, ...leaving(random)]),
    target: part([send(blocksOf(random)), end, awaitEnd]),
  }),
  /** The client has ended, and the target goes in the middle of its answer. */
  desertAsked: (random: Random) => ({
    client: part([hello(random), end, awaitEnd]),
    target: part([awaitEnd, ...leaving(random)]),
  }),
  /** The target goes in the middle: OpenSSH tells that as an end. */
  desert: (random: Random) => ({
    client: part([hello(random), awaitEnd, end]),
    target: part(leaving(random)),
  }),
} satisfies Record<string, (random: Random) => Omit<Script, 'kind'>>;

export type ScriptKind = keyof typeof kinds;
export const scriptKinds = Object.keys(kinds) as readonly ScriptKind[];

export function drawScript(random: Random): Script {
  const kind = random.pick(scriptKinds);
  return { kind, ...kinds[kind](random) };
}

/** One block there and one back: a connection that is over in a moment when all is well. */
export const touchScript: Script = {
  kind: 'talk',
  client: part([send([10]), { kind: 'await', blocks: 1 }, end]),
  target: part([{ kind: 'await', blocks: 1 }, send([10]), awaitEnd, end]),
};
