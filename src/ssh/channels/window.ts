// Receive windows: how much a channel may have under way, grown where the window is what limits it, and no further. Pure.
//
// A window beyond what the path holds is no gift: sshd keeps the difference in a buffer that it copies whole for every 32 KiB
// it sends (sshbuf_allocate), so that twice the window is four times its work, and a link of 50 MB/s comes to a crawl.

export interface WindowLimits {
  /** Bytes. */
  readonly initial: number;
  /** Where the round trip is long: two round trips of growing would be half of a short transfer. */
  readonly initialFar: number;
  readonly largest: number;
}

const mib = 1024 * 1024;
export const windowLimits: WindowLimits = { initial: 2 * mib, initialFar: 8 * mib, largest: 32 * mib };

/** A round trip is long from here on, in milliseconds. */
const farMs = 20;
/**
 * A short way holds little, and what sshd keeps for all its channels together is what it copies, and what a keystroke waits behind:
 * there they share so much. Eight downloads with 2 MiB each cost sshd a third more than with half of one; with 2 MiB beside a keystroke
 * its answer took 3.2 ms instead of 2.
 */
const nearShared = 2 * mib;
const nearLeast = mib / 2;
/** The smallest window a channel gets when very many share the budget: four packets. */
const smallest = 128 * 1024;
/** Up to here a window doubles; beyond it grows by a step, since what is too much costs most there. */
const doublesUpTo = 8 * mib;
const step = 4 * mib;
/** Shares of the window that are under way: more, and it is the limit; less, and it is too large. */
const fullShare = 0.7;
const idleShare = 0.55;

export interface WindowState {
  /** What the window is kept at, in bytes. */
  readonly target: number;
  /** Bytes received since `sinceMs`. */
  readonly received: number;
  readonly sinceMs: number;
  /** It has grown at the last look: what came since is still the old rate. */
  readonly grew: boolean;
}

/** What a session knows of its way. */
export interface PathFacts {
  /** Round trip of the idle link in milliseconds; null: not measured yet. */
  readonly rttMs: number | null;
  /** The last window that a channel of the session has come to, in bytes; 0: none has grown. */
  readonly served: number;
}

/** A target for a new channel when `open` others share `budget` bytes. */
export function initialTarget(limits: WindowLimits, budget: number, open: number, path: PathFacts): number {
  const share = Math.floor(budget / (open + 1) / 4);
  const usual = usualTarget(limits, open + 1, path.rttMs);
  return Math.max(smallest, Math.min(Math.max(usual, path.served), share));
}

function usualTarget(limits: WindowLimits, open: number, rttMs: number | null): number {
  if ((rttMs ?? 0) >= farMs) return limits.initialFar;
  return Math.max(nearLeast, Math.min(limits.initial, Math.floor(nearShared / open)));
}

/**
 * Looks at what came in since the last look. The rate times the idle round trip is what was under way: where that fills the
 * window, it grows; where it leaves half of it empty, it shrinks to what was used, but not below the initial one.
 * `spare` is what the budget still has, `open` how many channels there are. A look is worth something once a round trip (or 10 ms)
 * has passed.
 */
export function tune(
  state: WindowState,
  now: { readonly ms: number; readonly rttMs: number | null; readonly spare: number; readonly open: number },
  limits: WindowLimits,
): WindowState {
  const elapsed = now.ms - state.sinceMs;
  if (now.rttMs === null || elapsed < Math.max(now.rttMs, 10)) return state;
  const fresh = { target: state.target, received: 0, sinceMs: now.ms, grew: false };
  if (state.grew) return fresh;
  const { target } = state;
  const underWay = (state.received / elapsed) * now.rttMs;
  if (underWay > target * fullShare && target < limits.largest) {
    const wanted = target < doublesUpTo ? target * 2 : target + step;
    const most = Math.min(limits.largest, wanted, target + Math.max(0, now.spare));
    return { ...fresh, target: most, grew: true };
  }
  const least = usualTarget(limits, now.open, now.rttMs);
  if (underWay < target * idleShare && target > least)
    return { ...fresh, target: Math.floor(Math.max(least, target * 0.75, underWay * 1.4)) };
  return fresh;
}

/** Memory that all channels of all sessions share: growth beyond the initial windows comes out of it. */
export interface WindowBudget {
  readonly total: number;
  used: number;
  open: number;
}

export function createWindowBudget(total = 256 * 1024 * 1024): WindowBudget {
  return { total, used: 0, open: 0 };
}
