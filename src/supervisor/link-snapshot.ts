// What can be seen of a link at one moment, and what a carrier may know of it. Pure.
import { TunnelError } from '../errors.ts';
import type { LinkView } from '../model/carrier.ts';
import type { PendingQuestion, Question } from '../model/question.ts';
import type { Session } from '../model/session.ts';
import type { LinkState } from './link-machine.ts';
import type { TimedError } from './outage.ts';

/** Where a jump host is in the way, state, failure and next try are those of the jump host. */
export interface LinkSnapshot {
  readonly id: string;
  /** Links of jump hosts that it rides on, or tries to. */
  readonly rides: readonly string[];
  readonly state: LinkState;
  readonly session: Session | null;
  /** The outage of this link itself: since when (monotonic), and how many attempts failed. */
  readonly awaySinceMs: number;
  readonly failures: number;
  readonly reached: boolean;
  /** Why it is not up: what the login under way waits for, or the last failure; null while it is, and before the first. */
  readonly failure: TimedError | null;
  /** Monotonic. */
  readonly retryAtMs: number | null;
  /** Waits for an answer of somebody at a terminal. */
  readonly question: PendingQuestion | null;
  /** Was asked when nobody was there. */
  readonly unanswered: Question | null;
  /** It is being found out whether a command brought what was missing. */
  readonly examining: boolean;
  readonly endpoint: string;
  readonly via: readonly string[];
}

/** Null: the tunnel has no link now; `sinceMs` is when it began to want one. */
export function carrierView(link: LinkSnapshot | null, asleep: boolean, sinceMs: number): LinkView {
  if (link === null)
    return asleep ? { state: 'asleep' } : { state: 'away', sinceMs, failures: 0, reached: false };
  if (link.session !== null) return { state: 'up', session: link.session };
  if (link.question !== null) return { state: 'blocked', personPresent: true };
  if (link.state.kind === 'blocked') return { state: 'blocked', personPresent: link.examining };
  return { state: 'away', sinceMs: link.awaySinceMs, failures: link.failures, reached: link.reached };
}

export function sameView(a: LinkView, b: LinkView): boolean {
  if (a.state === 'up' && b.state === 'up') return a.session === b.session;
  if (a.state === 'blocked' && b.state === 'blocked') return a.personPresent === b.personPresent;
  if (a.state === 'away' && b.state === 'away')
    return a.sinceMs === b.sinceMs && a.failures === b.failures && a.reached === b.reached;
  return a.state === b.state;
}

/** Why a link is not up while it waits for an answer. */
export function questionError(question: PendingQuestion): TunnelError {
  const hint = 'tunnel up    # asks here too; or answer at the terminal that asks';
  const on = question.host;
  if (question.kind === 'host-key') {
    const key = question.fingerprint ?? 'its key';
    return new TunnelError(
      'HOST_KEY_UNKNOWN',
      `login waits, on ${on}: somebody is asked whether ${key} is its key`,
      {
        hint,
      },
    );
  }
  if (question.kind === 'passphrase')
    return new TunnelError('KEY_UNREADABLE', `login waits, on ${on}: somebody is asked for a passphrase`, {
      hint,
    });
  // A server's words never look like ours (SPEC 4).
  const who = question.fromServer ? `(${question.endpoint} asks) ` : '';
  return new TunnelError('SECRET_MISSING', `login waits, on ${on}: ${who}${question.text.trim()}`, { hint });
}
