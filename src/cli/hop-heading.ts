// A hop as it is introduced: by the name its user gave it, and which one of several it is. Pure.
import { formatHop, formatLogin, type Way } from '../model/host.ts';
import type { PendingQuestion } from '../model/question.ts';

/** `bastion (127.0.0.1:7201), hop 1 of 2, is new here.`; undefined for a server that is reached straight. */
export function hopHeading(
  { host, endpoint }: Pick<PendingQuestion, 'host' | 'endpoint'>,
  ways: readonly Way[],
): string | undefined {
  for (const way of ways) {
    const at = way.findIndex((hop) => hop.name === host && formatLogin(hop) === endpoint);
    const hop = way[at];
    if (hop !== undefined && way.length > 1)
      return `${formatHop(hop)}, hop ${at + 1} of ${way.length}, is new here.`;
  }
  return undefined;
}
