// What a command waits for, in words: a line a cause. Pure.
import { cleanText } from '../model/clean.ts';
import type { TunnelStatus } from '../model/status.ts';
import { listNames } from './error.ts';
import { count } from './units.ts';

/** More causes than that are counted. */
const causesShown = 5;

/** Tunnels that a command still waits for, those with one cause in one line. */
export function waitingLines(tunnels: readonly TunnelStatus[]): string[] {
  const causes = new Map<string, string[]>();
  for (const tunnel of tunnels) {
    const what = cleanText(tunnel.error?.message ?? connecting(tunnel));
    causes.set(what, [...(causes.get(what) ?? []), tunnel.name]);
  }
  const lines = [...causes].map(([what, names]) => `${listNames(names)}: ${what}`);
  if (lines.length <= causesShown) return lines;
  return [...lines.slice(0, causesShown), `and ${count(lines.length - causesShown, 'more cause')}`];
}

function connecting({ endpoint, via }: TunnelStatus): string {
  const through = via.length === 0 ? '' : ` through ${listNames(via)}`;
  return `connecting to ${endpoint}${through}`;
}
