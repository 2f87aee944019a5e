// Backoff: how long to wait before a retry. The first after 1 s, then full jitter under a doubling ceiling (SPEC 3).

/** `reconnect:` of a tunnel, in milliseconds. */
export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Before the first retry: a server that answered and then failed us must not count us among its attackers. */
export function firstWaitMs({ maxMs }: BackoffPolicy): number {
  return Math.min(1_000, maxMs);
}

/**
 * Milliseconds to wait before retry number `retry` (1 is the first after a failure or a loss).
 * `random` is uniform in [0, 1). Full jitter, so that many clients of one server do not come back in step.
 */
export function backoffMs(retry: number, policy: BackoffPolicy, random: () => number): number {
  if (retry <= 1) return firstWaitMs(policy);
  const ceiling = Math.min(policy.maxMs, policy.initialMs * 2 ** (retry - 2));
  return Math.round(random() * ceiling);
}

/** The policy of a link that serves several tunnels: what the most impatient one asks for. */
export function mostImpatient(policies: readonly BackoffPolicy[]): BackoffPolicy {
  if (policies.length === 0) return { initialMs: 500, maxMs: 30_000 };
  return {
    initialMs: Math.min(...policies.map(({ initialMs }) => initialMs)),
    maxMs: Math.min(...policies.map(({ maxMs }) => maxMs)),
  };
}
