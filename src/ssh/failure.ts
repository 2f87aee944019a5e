// Failures: what a socket, ssh2 or a server reports, as a TunnelError. By level and code, never by text. Pure.
import { TunnelError, type Hint } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { cleanQuote, cleanText } from '../model/clean.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import { formatHop, type Host } from '../model/host.ts';
import { algorithmKeys } from './algorithms.ts';
import type { AlgorithmNames } from './ssh2/parts.ts';
import { disagreement, type ServerHello } from './ssh2/hello.ts';

/** Where a dial was when it failed. `tcpLevel`: the server was not reached at all, so knocking may help (SPEC 3). */
export type Layer = 'dns' | 'tcp' | 'kex' | 'auth' | 'link';

/** What Node says of a system call, in a person's words. */
const socketWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'no route to host',
  EHOSTDOWN: 'the host is down',
  ENETUNREACH: 'the network is unreachable',
  ENETDOWN: 'the network is down',
  EADDRNOTAVAIL: 'this machine has no such address to connect from',
  EACCES: 'this machine forbids it',
  EPERM: 'this machine forbids it',
  ETIMEDOUT: 'no answer',
  ECONNRESET: 'connection reset',
  ECONNABORTED: 'connection aborted',
  EPIPE: 'connection closed',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'the name server does not answer',
  EAI_NODATA: 'the name has no address',
  ENODATA: 'the name has no address',
  EAI_FAIL: 'the name server failed',
  EMFILE: 'too many open files here',
  ENFILE: 'too many open files here',
};

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

export function wordsOf(error: unknown): string {
  const words = socketWords[codeOf(error)];
  if (words !== undefined) return words;
  return cleanText(error instanceof Error ? error.message : String(error)) || 'unknown error';
}

/** A connect that did not get through; `why` names the addresses that were tried. */
export function connectFailed(
  host: Host,
  layer: 'dns' | 'tcp',
  why: string,
  { timedOut, tcpLevel = true }: { readonly timedOut: boolean; readonly tcpLevel?: boolean },
): TunnelError {
  return new TunnelError(
    timedOut ? 'TIMED_OUT' : 'UNREACHABLE',
    `connect failed, on ${formatHop(host)}: ${why}`,
    {
      hint: { command: 'why', on: { host: host.name } },
      facts: { layer, tcpLevel },
    },
  );
}

interface More {
  /** Default: `tunnel why`. */
  readonly hint?: Hint;
  readonly facts?: { readonly person?: boolean };
}

/** A failure between the TCP connect and the server's proof of its key. */
export function kexFailed(
  host: Host,
  code: 'KEX_FAILED' | 'LINK_LOST' | 'TIMED_OUT',
  why: string,
  more: More = {},
): TunnelError {
  return new TunnelError(code, `key exchange failed, on ${formatHop(host)}: ${why}`, {
    hint: more.hint ?? { command: 'why', on: { host: host.name } },
    facts: { layer: 'kex', tcpLevel: false, ...more.facts },
  });
}

/** A failure after the server's proof of its key, and not by a refusal of what was offered. */
export function loginFailed(
  host: Host,
  code: 'KEX_FAILED' | 'LINK_LOST' | 'TIMED_OUT',
  why: string,
): TunnelError {
  return new TunnelError(code, `login failed, on ${formatHop(host)}: ${why}`, {
    hint: { command: 'why', on: { host: host.name } },
    facts: { layer: 'auth', tcpLevel: false },
  });
}

/** What passes: this machine is short of something for a while. */
const shortages = ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EAGAIN'];

/**
 * What a dial threw, as a failure of ours. A shortage is tried again; anything else that nobody foresaw is a bug, which
 * trying again does not mend: told once.
 */
export function dialTrouble(host: Host, thrown: unknown): TunnelError {
  if (thrown instanceof TunnelError) return thrown;
  const code = codeOf(thrown);
  const why = errnoWords(code) ?? wordsOf(thrown);
  if (shortages.includes(code)) return connectFailed(host, 'tcp', why, { timedOut: false, tcpLevel: false });
  return new TunnelError('INTERNAL', `login failed, on ${formatHop(host)}: ${why}`, {
    hint: { command: 'restart', note: 'tries once more; it is a bug, please report it' },
    facts: { tcpLevel: false },
    cause: thrown,
  });
}

/** How an attempt at a login ended. */
export interface AttemptFacts {
  /** The first error that a socket or ssh2 reported. */
  readonly thrown: (Error & { level?: string }) | null;
  readonly disconnect: { readonly reason: number; readonly words: string } | null;
  /** Nothing was left to offer. */
  readonly methodsSpent: boolean;
}

/** Where an attempt at a login was when it ended. */
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

/** Why an attempt at a login ended, from what is known of it: by level, reason code and phase, never by text. */
export function attemptFailure(facts: AttemptFacts, scene: AttemptScene): TunnelError {
  const { thrown } = facts;
  if (thrown instanceof TunnelError) return thrown;
  return scene.layer === 'kex' ? kexFailure(facts, scene) : authFailure(facts, scene);
}

function kexFailure({ thrown, disconnect }: AttemptFacts, scene: AttemptScene): TunnelError {
  const { host, hello, offer, received } = scene;
  const conflict = hello.offers === null ? null : disagreement(offer, hello.offers);
  if (conflict !== null && hello.offers !== null)
    return kexFailed(host, 'KEX_FAILED', conflict.words, {
      hint: hintOn(host, conflict.kind, hello.offers[conflict.kind], scene.supported[conflict.kind]),
      facts: { person: true },
    });
  if (disconnect !== null)
    return kexFailed(
      host,
      'KEX_FAILED',
      `the server ended it: ${disconnect.words || `reason ${disconnect.reason}`}`,
    );
  const level = thrown?.level;
  const line = hello.ident === null && hello.line !== null ? cleanQuote(hello.line) : '';
  if (turnedAway.includes(line))
    return kexFailed(host, 'LINK_LOST', `the server turned us away, it says: ${line}; ${tooManyWords}`);
  if (line !== '')
    return kexFailed(host, 'KEX_FAILED', `what answers there does not speak SSH, it says: ${line}`);
  if (received === 0 && (level === undefined || level === 'client-socket' || level === 'protocol'))
    return kexFailed(host, 'LINK_LOST', `the server closed the connection at once; ${penaltyWords}`);
  if (thrown === null) return kexFailed(host, 'LINK_LOST', 'the server closed the connection');
  if (level === 'client-socket' || (level === undefined && codeOf(thrown) !== ''))
    return kexFailed(host, 'LINK_LOST', wordsOf(thrown));
  if (hello.ident === null) return kexFailed(host, 'KEX_FAILED', 'what answers there does not speak SSH');
  return kexFailed(host, 'KEX_FAILED', cleanQuote(thrown.message));
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
    return loginFailed(
      host,
      'LINK_LOST',
      `the server ended it: ${disconnect.words || `reason ${disconnect.reason}`}`,
    );
  if (thrown === null || thrown.level === 'client-socket' || codeOf(thrown) !== '')
    return loginFailed(
      host,
      'LINK_LOST',
      thrown === null ? 'the server closed the connection' : wordsOf(thrown),
    );
  return loginFailed(host, 'LINK_LOST', cleanQuote(thrown.message));
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
  if (layer === 'auth') return loginFailed(host, 'TIMED_OUT', `no answer ${time}`);
  const fail = (why: string, hint?: string): TunnelError =>
    kexFailed(host, 'TIMED_OUT', why, hint === undefined ? {} : { hint });
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

/** A live session that ended without being asked to. */
export function linkLost(host: Host, why: string, cause?: unknown): TunnelError {
  return new TunnelError('LINK_LOST', `link lost, on ${formatHop(host)}: ${why}`, {
    hint: { command: 'why', on: { host: host.name } },
    facts: { layer: 'link', tcpLevel: false },
    cause,
  });
}

/** A peer that was silent for too long. `answers`: it has answered a ping of this connection. */
export function silenceLoss(host: Host, silentMs: number, answers: boolean): TunnelError {
  const silence = `link lost: no byte from ${formatHop(host)} for ${Math.round(silentMs / 100) / 10}s`;
  const facts = { layer: 'link', tcpLevel: false } as const;
  if (answers)
    return new TunnelError('LINK_LOST', silence, {
      hint: { command: 'why', on: { host: host.name } },
      facts,
    });
  const why = 'it has not answered a single ping, and may be a server that answers none';
  const hint = `keepalive: { interval: 0s }    # under host ${host.name}, if it is always cut like this`;
  return new TunnelError('LINK_LOST', `${silence}; ${why}`, { hint, facts });
}

/** What a server that ends the connection at once may mean by it: no more can be known from here. */
export const penaltyWords =
  'it may be refusing this address for a while (PerSourcePenalties, MaxStartups, fail2ban), or no SSH server is there';

/** What one that says so means by it. */
export const tooManyWords =
  'too many logins are under way, or this address is kept out for a while (PerSourcePenalties, MaxStartups, fail2ban)';

/** RFC 4254 5.1: reason codes of SSH_MSG_CHANNEL_OPEN_FAILURE. */
const openReasons: Readonly<Record<number, string>> = {
  1: 'prohibited',
  2: 'connect-failed',
  3: 'unknown-type',
  4: 'resource-shortage',
};

/** A channel the server did not open: one connection's failure, or a forbidden target. */
export function forwardRefused(to: Endpoint, reason: number, words: string): TunnelError {
  const said = cleanQuote(words);
  const name = openReasons[reason] ?? `reason-${reason}`;
  return new TunnelError(
    'FORWARD_REFUSED',
    `connection to ${formatEndpoint(to)} failed: ${openWords(to, reason, said)}`,
    {
      hint: openHint(to, reason),
      facts: { layer: 'channel', reason: name, words: said },
    },
  );
}

function openWords(to: Endpoint, reason: number, said: string): string {
  const quoted = said === '' ? '' : ` (the server says: ${said})`;
  switch (reason) {
    case 1:
      return `the SSH server forbids it${quoted}`;
    case 2:
      if (to.kind === 'unix') return `the SSH server cannot open that socket${quoted}`;
      return `the SSH server cannot reach it${quoted}`;
    case 3:
      return `the SSH server does not know this kind of forward${quoted}`;
    case 4:
      return `the SSH server is short of resources${quoted}`;
    default:
      return `the SSH server refused with reason ${reason}${quoted}`;
  }
}

function openHint(to: Endpoint, reason: number): string | null {
  const unix = to.kind === 'unix';
  switch (reason) {
    case 1:
      return unix
        ? "the server's sshd_config may have AllowStreamLocalForwarding no or DisableForwarding yes; the key's authorized_keys line may say restrict or no-port-forwarding; or the account's password has expired (sshd forwards nothing then)"
        : "the server's sshd_config may have AllowTcpForwarding no, PermitOpen or DisableForwarding yes; the key's authorized_keys line may say permitopen, restrict or no-port-forwarding; or the account's password has expired (sshd forwards nothing then)";
    case 2:
      return unix
        ? "is a service listening on that path there, and may the SSH user open it? the server's sshd_config may have AllowStreamLocalForwarding no"
        : 'is the service running there? the name and port are seen from the SSH server, not from here';
    case 3:
      return unix ? 'the server is too old for unix socket forwards: forward a TCP port instead' : null;
    default:
      return null;
  }
}
