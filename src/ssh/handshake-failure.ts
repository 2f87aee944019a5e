// Why an attempt at a login ended, from what is known of it: by level, reason code and phase, never by text. Pure.
import { TunnelError } from '../errors.ts';
import { cleanQuote } from '../model/clean.ts';
import type { Host } from '../model/host.ts';
import { algorithmKeys } from './algorithms.ts';
import { codeOf, dialFailed, penaltyWords, tooManyWords, wordsOf } from './failure.ts';
import { disagreement, type ServerHello } from './ssh2/hello.ts';
import type { AlgorithmNames } from './ssh2/parts.ts';

export interface AttemptFacts {
  /** The first error that a socket or ssh2 reported. */
  readonly thrown: (Error & { level?: string }) | null;
  readonly disconnect: { readonly reason: number; readonly words: string } | null;
  /** Nothing was left to offer. */
  readonly methodsSpent: boolean;
}

export interface AttemptScene {
  readonly host: Host;
  readonly offer: AlgorithmNames;
  /** What this program could offer. */
  readonly supported: AlgorithmNames;
  readonly layer: 'kex' | 'auth';
  readonly hello: ServerHello;
  /** Bytes that came from the server. */
  readonly received: number;
  /** Why the login failed, as its credentials know it. */
  readonly login: () => TunnelError;
}

/** RFC 4253 11.1: reasons for which a server ends a login rather than a connection; OpenSSH sends 2 for MaxAuthTries. */
const loginReasons = [2, 13, 14, 15];

/** What OpenSSH says in place of an identification when it drops a connection (sshd.c, from 8.6 and from 9.8 on). */
const turnedAway = ['Exceeded MaxStartups', 'Not allowed at this time'];

export function attemptFailure(facts: AttemptFacts, scene: AttemptScene): TunnelError {
  const { thrown } = facts;
  if (thrown instanceof TunnelError) return thrown;
  return scene.layer === 'kex' ? kexFailure(facts, scene) : authFailure(facts, scene);
}

function kexFailure({ thrown, disconnect }: AttemptFacts, scene: AttemptScene): TunnelError {
  const { host, hello, offer, received } = scene;
  const conflict = hello.offers === null ? null : disagreement(offer, hello.offers);
  if (conflict !== null && hello.offers !== null)
    return dialFailed(host, 'kex', 'KEX_FAILED', conflict.words, {
      hint: hintOn(host, conflict.kind, hello.offers[conflict.kind], scene.supported[conflict.kind]),
      facts: { person: true },
    });
  if (disconnect !== null)
    return dialFailed(
      host,
      'kex',
      'KEX_FAILED',
      `the server ended it: ${disconnect.words || `reason ${disconnect.reason}`}`,
    );
  const level = thrown?.level;
  const line = hello.ident === null && hello.line !== null ? cleanQuote(hello.line) : '';
  if (turnedAway.includes(line))
    return dialFailed(
      host,
      'kex',
      'LINK_LOST',
      `the server turned us away, it says: ${line}; ${tooManyWords}`,
    );
  if (line !== '')
    return dialFailed(host, 'kex', 'KEX_FAILED', `what answers there does not speak SSH, it says: ${line}`);
  if (received === 0 && (level === undefined || level === 'client-socket' || level === 'protocol'))
    return dialFailed(host, 'kex', 'LINK_LOST', `the server closed the connection at once; ${penaltyWords}`);
  if (thrown === null) return dialFailed(host, 'kex', 'LINK_LOST', 'the server closed the connection');
  if (level === 'client-socket' || (level === undefined && codeOf(thrown) !== ''))
    return dialFailed(host, 'kex', 'LINK_LOST', wordsOf(thrown));
  if (hello.ident === null)
    return dialFailed(host, 'kex', 'KEX_FAILED', 'what answers there does not speak SSH');
  return dialFailed(host, 'kex', 'KEX_FAILED', cleanQuote(thrown.message));
}

/** Safe no longer, and off by default for that. */
const weak = /sha1(?!\d)|ssh-rsa|ssh-dss|md5|-cbc|arcfour|-96/;

/** The line that would make the two agree. Neither the server nor this config changes by being asked again. */
function hintOn(
  host: Host,
  kind: keyof AlgorithmNames,
  theirs: readonly string[],
  supported: readonly string[],
): string {
  const usable = theirs.filter((name) => supported.includes(name));
  const name = usable.find((each) => !weak.test(each)) ?? usable[0];
  if (name === undefined)
    return `this program knows none of them: its administrator may allow one of ${supported.slice(0, 3).join(', ')}`;
  const line = `${algorithmKeys[kind]}: +${name}`;
  return `${line}    # under host ${host.name}${weak.test(name) ? '; weak: only where the server can do no better' : ''}`;
}

function authFailure(facts: AttemptFacts, scene: AttemptScene): TunnelError {
  const { thrown, disconnect, methodsSpent } = facts;
  const { host } = scene;
  if (methodsSpent || thrown?.level === 'client-authentication') return scene.login();
  if (disconnect !== null && loginReasons.includes(disconnect.reason)) {
    const refusal = scene.login();
    const words = disconnect.words === '' ? '' : ` (the server says: ${disconnect.words})`;
    return new TunnelError(refusal.code, `${refusal.message}${words}`, {
      hint: refusal.hint,
      facts: refusal.facts,
    });
  }
  if (disconnect !== null)
    return dialFailed(
      host,
      'auth',
      'LINK_LOST',
      `the server ended it: ${disconnect.words || `reason ${disconnect.reason}`}`,
    );
  if (thrown === null || thrown.level === 'client-socket' || codeOf(thrown) !== '')
    return dialFailed(
      host,
      'auth',
      'LINK_LOST',
      thrown === null ? 'the server closed the connection' : wordsOf(thrown),
    );
  return dialFailed(host, 'auth', 'LINK_LOST', cleanQuote(thrown.message));
}

/** How far an attempt had come when the server fell silent. */
export interface Progress {
  readonly layer: 'kex' | 'auth';
  readonly hello: ServerHello;
  /** What to say of a server that has not said a word; null for one that has. */
  readonly deaf: string | null;
  readonly offer: AlgorithmNames;
  /** The server has answered the key exchange. */
  readonly keyShown: boolean;
}

/** Of a post-quantum exchange the first packet is larger than what many lines take unfragmented (RFC 9370 1.1). */
const largeKex = /^(mlkem|sntrup)/;

/** Silence until the time was up: what had come by then tells where it may have been lost. */
export function silenceFailure(host: Host, silenceMs: number, progress: Progress): TunnelError {
  const { layer, hello, deaf, keyShown } = progress;
  const time = `in ${silenceMs / 1000}s`;
  const fail = (why: string, hint?: string): TunnelError =>
    dialFailed(host, layer, 'TIMED_OUT', why, hint === undefined ? {} : { hint });
  if (layer === 'auth') return fail(`no answer ${time}`);
  if (deaf !== null) return fail(`${deaf} ${time}`);
  if (hello.ident === null) return fail(`no whole SSH banner ${time}`);
  if (hello.offers === null)
    return fail(
      `no more than its banner, ${cleanQuote(hello.ident)}, came ${time}${mtuWords}`,
      mtuHint(null, host),
    );
  if (keyShown) return fail(`no end of the key exchange ${time}`);
  const kex = progress.offer.kex.find((name) => hello.offers?.kex.includes(name)) ?? null;
  const asked = kex === null ? 'the key exchange' : `our ${kex}`;
  return fail(`its algorithms came, but no answer to ${asked} ${time}${mtuWords}`, mtuHint(kex, host));
}

const mtuWords = ': packets of more than a kilobyte may be lost on the way (MTU)';

function mtuHint(kex: string | null, { name }: Host): string {
  const smaller = 'ip link set dev INTERFACE mtu 1280    # where the way takes smaller packets only';
  if (kex === null || !largeKex.test(kex)) return smaller;
  return `kex: -${kex}    # under host ${name}: asks with a small packet\n${smaller}`;
}
