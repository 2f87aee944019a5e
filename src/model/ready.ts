// Ready: the one rule of `status --check`, `wait` and `/readyz`: which tunnels are meant, and when one of them is ready (SPEC 4). Pure.
import type { ForwardStatus, ProbeStatus, TunnelStatus } from './status.ts';

type Serving = Pick<TunnelStatus, 'state' | 'forwards'>;

/** Up or asleep, and no probe of it fails. */
export function isReady(tunnel: Serving): boolean {
  return tunnel.state === 'asleep' || (tunnel.state === 'up' && failedProbe(tunnel) === null);
}

/** The target that is not there, as its probe sees it; one whose first answer is awaited is not there yet. */
export function failedProbe({
  forwards,
}: Serving): { readonly target: string; readonly text: string } | null {
  const failed = forwards.find((forward): forward is ForwardStatus & { probe: ProbeStatus } => {
    return forward.probe?.ok === false;
  });
  return failed === undefined ? null : { target: failed.target, text: failed.probe.text };
}

/** A probe of it has not had its first answer. */
export function awaitsProbe({ forwards }: Serving): boolean {
  return forwards.some(({ probe }) => probe?.awaited === true);
}

/** Of what nobody selected: all that are wanted; where nothing is, all that would start by themselves. */
export function meantByDefault<T extends { readonly wanted: boolean; readonly autostart: boolean }>(
  tunnels: readonly T[],
): readonly T[] {
  const wanted = tunnels.filter((tunnel) => tunnel.wanted);
  return wanted.length > 0 ? wanted : tunnels.filter((tunnel) => tunnel.autostart);
}
