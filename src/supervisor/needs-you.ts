// What a link says when it needs a person, and when it may look again on its own (SPEC 3). Pure.
import { TunnelError } from '../errors.ts';
import type { Host } from '../model/host.ts';
import type { Question, QuestionKind } from '../model/question.ts';

const minuteMs = 60_000;
const keyExchangeLookMs = 15 * minuteMs;
/** After a refusal: a key that logged in here before is tried again, alone. Then for ever at the last distance. */
const provenLooksMs = [5 * minuteMs, 15 * minuteMs, 30 * minuteMs] as const;

/** A host key that is not trusted, or algorithms that do not meet: no login was begun, and another look begins none. */
export function isBeforeLogin({ code }: TunnelError): boolean {
  return code.startsWith('HOST_KEY') || code === 'KEX_FAILED';
}

/**
 * Milliseconds until a blocked link looks again whatever has changed; null: never.
 * `tries` counts looks with proven credentials since the refusal. A login that also wanted a person counts too: most
 * servers take passwords besides keys, and a key that worked is refused while a home is not mounted there.
 */
export function lookAfterMs(cause: TunnelError, host: Host, tries: number): number | null {
  if (isBeforeLogin(cause)) return keyExchangeLookMs;
  if (!host.authRetry || cause.facts['proven'] !== true) return null;
  return provenLooksMs[Math.min(tries, provenLooksMs.length - 1)] ?? null;
}

/** A login here needs a person, and nobody is there to see it through. */
export function attendedError(host: Host, tunnel: string, wasUp: boolean): TunnelError {
  const what = wasUp ? 'is back and wants' : 'wants';
  const command = `tunnel up ${tunnel}`;
  return new TunnelError('SECRET_MISSING', `${host.name} ${what} your second factor: ${command}`, {
    hint: command,
    facts: { attended: true },
  });
}

/** Nothing but a person ends such a block. */
export function isAttended(cause: TunnelError): boolean {
  return cause.facts['attended'] === true;
}

const kinds: readonly QuestionKind[] = ['host-key', 'passphrase', 'password', 'prompt'];

/** The question that a failed login would have asked, as far as its error's facts tell; null when they do not. */
export function questionOf(cause: TunnelError, host: Host): Question | null {
  const { facts } = cause;
  const text = (name: string): string | null => {
    const value = facts[name];
    return typeof value === 'string' ? value : null;
  };
  const kind = kinds.find((known) => known === (text('question') ?? text('kind')));
  if (kind === undefined) return null;
  return {
    kind,
    host: text('host') ?? host.name,
    text: text('text') ?? cause.message,
    echo: facts['echo'] === true,
    fingerprint: text('fingerprint'),
  };
}
