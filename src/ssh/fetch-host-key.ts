// Fetching a host key: a key exchange by the way the tunnel goes, up to where the server has proved its key, and no login.
import { TunnelError } from '../errors.ts';
import { formatHop, type Host } from '../model/host.ts';
import type { DialContext, Session } from '../model/session.ts';
import { offeredAlgorithms } from './algorithms.ts';
import { createDialer, type DialerParts } from './dial.ts';
import type { DialLogin } from './auth/login.ts';
import { refusalOf } from './verify.ts';
import { isCertificateType } from '../keys/algorithms.ts';
import { keyType } from '../keys/public-key.ts';
import { hostKeyName } from '../trust/known-hosts.ts';
import type { TrustStore } from '../trust/store.ts';
import type { Judgement } from '../trust/verdict.ts';

/** A key that its server has proved, and what the known_hosts files say of it. */
export interface FetchedKey {
  /** Under which it stands or would stand. */
  readonly name: string;
  /** The plain key. */
  readonly key: Buffer;
  readonly judgement: Judgement;
  /** Why a login would refuse it; null when it would not, or would only ask. */
  readonly refusal: TunnelError | null;
}

export interface FetchParts {
  readonly host: Host;
  readonly via: Session | null;
  readonly parts: DialerParts;
  readonly context: DialContext;
}

/** Throws what keeps the server from being reached, or from proving a key. One connection. */
export async function fetchHostKey({ host, via, parts, context }: FetchParts): Promise<FetchedKey> {
  const seen: { judgement: Judgement | null; proved: { name: string; key: Buffer } | null } = {
    judgement: null,
    proved: null,
  };
  const trust: TrustStore = {
    ...parts.trust,
    async read(foreignFiles) {
      const known = await parts.trust.read(foreignFiles);
      return {
        ...known,
        // Whatever is known of it, let the server prove it first; what we think of it is told afterwards.
        judge(name, blob) {
          seen.judgement = known.judge(name, blob);
          return { ...seen.judgement, verdict: { kind: 'unknown' } };
        },
      };
    },
    trust(name, key) {
      seen.proved = { name, key };
      return Promise.resolve({ at: { file: parts.trust.file, line: 0 }, added: false, unwritten: null });
    },
    markUsed: () => Promise.resolve(),
  };
  const credentials = { ...parts.credentials, createLogin: () => noLogin(host) };
  const dialer = createDialer({ ...parts, trust, credentials });
  const open = { ...host, hostKeys: 'accept-new' } as const;
  // nothing is stored here: what is trusted is told by whoever stores it
  const quiet = { ...context, acceptNew: true, notice: () => undefined };
  try {
    await (await dialer.dial(open, { via, transport: null }, quiet)).close();
  } catch (thrown) {
    if (seen.proved === null) throw thrown;
  }
  const { judgement, proved } = seen;
  if (judgement === null || proved === null)
    throw new TunnelError('INTERNAL', `fetching the host key failed, on ${formatHop(host)}: no key came`);
  return { ...proved, judgement, refusal: refusalOf(host, parts.trust, judgement) };
}

/**
 * The keys a server offers, one type after the other in our order, each by a connection of its own: for as long as
 * the caller asks for more. A type that the server does not have is skipped.
 */
export async function* fetchEveryType(fetch: FetchParts): AsyncGenerator<FetchedKey, void, void> {
  const first = await fetchHostKey(fetch);
  yield first;
  const { host } = fetch;
  const tried = keyType(first.key);
  for (const algorithms of byKeyType(offeredAlgorithms(host).hostKey)) {
    if (algorithms.some((algorithm) => keyTypeOf(algorithm) === tried)) continue;
    try {
      yield await fetchHostKey({
        ...fetch,
        host: { ...host, algorithms: { ...host.algorithms, hostKey: algorithms } },
      });
    } catch (thrown) {
      if (!(thrown instanceof TunnelError) || thrown.code !== 'KEX_FAILED') throw thrown;
    }
  }
}

function byKeyType(algorithms: readonly string[]): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>();
  for (const algorithm of algorithms.filter((each) => !isCertificateType(each))) {
    const type = keyTypeOf(algorithm);
    groups.set(type, [...(groups.get(type) ?? []), algorithm]);
  }
  return [...groups.values()];
}

/** RSA keys sign as rsa-sha2-256 and -512 (RFC 8332). */
function keyTypeOf(algorithm: string): string {
  return algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm;
}

/** A login that offers nothing: the connection ends where authentication would begin. */
function noLogin(host: Host): DialLogin {
  return {
    prepare: () => Promise.resolve(),
    install: () => undefined,
    handler: (_methods, _partial, next) => next(false),
    record: () => ({ accepted: [], attended: false }),
    failure: () =>
      new TunnelError('AUTH_REFUSED', `login left out, on ${formatHop(host)}: only its key was wanted`),
    finish: () => undefined,
  };
}

/** The name a host's keys stand under. */
export function keyNameOf(host: Host): string {
  return hostKeyName(host.hostname, host.port, host.hostKeyAlias);
}
