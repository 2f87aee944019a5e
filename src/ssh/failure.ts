// Failures: what a socket, ssh2 or a server reports, as a TunnelError. By level and code, never by text. Pure.
import { TunnelError, type Hint } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { cleanQuote, cleanText } from '../model/clean.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import { formatHop, type Host } from '../model/host.ts';

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
  timedOut: boolean,
  facts: { readonly tcpLevel: boolean } = { tcpLevel: true },
): TunnelError {
  return new TunnelError(
    timedOut ? 'TIMED_OUT' : 'UNREACHABLE',
    `connect failed, on ${formatHop(host)}: ${why}`,
    {
      hint: { command: 'why', on: { host: host.name } },
      facts: { layer, ...facts },
    },
  );
}

/** A failure past the TCP connect. */
export function dialFailed(
  host: Host,
  layer: 'kex' | 'auth',
  code: 'KEX_FAILED' | 'LINK_LOST' | 'TIMED_OUT',
  why: string,
  more: { readonly hint?: Hint; readonly facts?: { readonly person?: boolean } } = {},
): TunnelError {
  const what = layer === 'kex' ? 'key exchange' : 'login';
  return new TunnelError(code, `${what} failed, on ${formatHop(host)}: ${why}`, {
    hint: more.hint ?? { command: 'why', on: { host: host.name } },
    facts: { layer, tcpLevel: false, ...more.facts },
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
  if (shortages.includes(code)) return connectFailed(host, 'tcp', why, false, { tcpLevel: false });
  return new TunnelError('INTERNAL', `login failed, on ${formatHop(host)}: ${why}`, {
    hint: { command: 'restart', note: 'tries once more; it is a bug, please report it' },
    facts: { tcpLevel: false },
    cause: thrown,
  });
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
