// Receive windows: how much a channel may have under way, grown where the round trip is what limits it. Pure.
// Bandwidth times round trip is what a window must hold; twice that leaves room for adjusts on their way.

export interface WindowLimits {
  /** Bytes. */
  readonly initial: number;
  readonly largest: number;
}

export const windowLimits: WindowLimits = { initial: 2 * 1024 * 1024, largest: 32 * 1024 * 1024 };

/** The smallest window a channel gets when very many share the budget: four packets. */
const smallest = 128 * 1024;

export interface WindowState {
  /** What the window is kept at, in bytes. */
  readonly target: number;
  /** Bytes received since `sinceMs`. */
  readonly received: number;
  readonly sinceMs: number;
}

/** A target for a new channel when `open` others share `budget` bytes. */
export function initialTarget(limits: WindowLimits, budget: number, open: number): number {
  const share = Math.floor(budget / (open + 1) / 4);
  return Math.max(smallest, Math.min(limits.initial, share));
}

/**
 * Looks at what came in since the last look. When the rate times the round trip fills half of the target it doubles,
 * when it fills most of it, it is fourfold (a grown window shows a round trip late, so each step costs two); it halves,
 * down to the initial one, when the rate has fallen to a sixteenth.
 * `spare` is what the budget still has. A look is worth something once a round trip (or 10 ms) has passed.
 */
export function tune(
  state: WindowState,
  now: { readonly ms: number; readonly rttMs: number | null; readonly spare: number },
  limits: WindowLimits,
): WindowState {
  const elapsed = now.ms - state.sinceMs;
  if (now.rttMs === null || elapsed < Math.max(now.rttMs, 10)) return state;
  const underWay = (state.received / elapsed) * now.rttMs;
  const fresh = { received: 0, sinceMs: now.ms };
  if (underWay > state.target / 2 && state.target < limits.largest) {
    const wanted = state.target * (underWay > state.target * 0.7 ? 4 : 2);
    return { ...fresh, target: Math.min(limits.largest, wanted, state.target + Math.max(0, now.spare)) };
  }
  if (underWay < state.target / 16 && state.target > limits.initial)
    return { ...fresh, target: Math.max(limits.initial, state.target / 2) };
  return { ...fresh, target: state.target };
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
