// Fetching a host key: a key exchange by the way the tunnel goes, up to where the server has proved its key, and no login.
import { TunnelError } from '../errors.ts';
import { formatHop, type Host } from '../model/host.ts';
import type { DialContext, Session } from '../model/session.ts';
import { offeredAlgorithms } from './algorithms.ts';
import { createDialer, type DialerParts } from './dialer.ts';
import type { Login } from './auth/login.ts';
import { createVerifier } from './verify.ts';
import { isCertificateType } from '../keys/algorithms.ts';
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
  let fetched: FetchedKey | null = null;
  const presented = new Map<string, { judgement: Judgement; refusal: TunnelError | null }>();
  const trust: TrustStore = {
    ...parts.trust,
    async read(foreignFiles) {
      const known = await parts.trust.read(foreignFiles);
      return {
        ...known,
        // Whatever is known of it, let the server prove it first; what we think of it is told afterwards.
        judge(name, blob) {
          const judgement = known.judge(name, blob);
          const asked = { ...context, personPresent: () => false, acceptNew: false };
          const verifier = createVerifier({
            host: { ...host, hostKeys: 'ask' },
            known,
            trust: parts.trust,
            context: asked,
            confirmed: null,
            log: parts.log,
          });
          const decision = verifier.judge(blob);
          const isRefused =
            judgement.verdict.kind !== 'unknown' && !(decision instanceof Promise) && !decision.accepted;
          presented.set(judgement.key.toString('base64'), {
            judgement,
            refusal: isRefused ? decision.error : null,
          });
          return { ...judgement, verdict: { kind: 'unknown' } };
        },
      };
    },
    trust(name, key) {
      const facts = presented.get(key.toString('base64'));
      if (facts !== undefined) fetched = { name, key, ...facts };
      return Promise.resolve({ at: { file: parts.trust.file, line: 0 }, added: false, unwritten: null });
    },
    markUsed: () => Promise.resolve(),
  };
  const dialer = createDialer({ ...parts, trust, createLogin: () => noLogin(host) });
  try {
    const open = { ...host, hostKeys: 'accept-new' } as const;
    await (
      await dialer.dial(
        open,
        { via, transport: null },
        {
          ...context,
          acceptNew: true,
          notice: () => undefined, // nothing is stored here: what is trusted is told by whoever stores it
        },
      )
    ).close();
  } catch (thrown) {
    if (fetched === null) throw thrown;
  }
  if (fetched !== null) return fetched;
  throw new TunnelError('INTERNAL', `fetching the host key failed, on ${formatHop(host)}: no key came`);
}

/**
 * The keys a server offers, one type after the other in our order, each by a connection of its own: for as long as
 * the caller asks for more. A type that the server does not have is skipped.
 */
export async function* fetchEveryType(fetch: FetchParts): AsyncGenerator<FetchedKey, void, void> {
  const first = await fetchHostKey(fetch);
  yield first;
  const { host } = fetch;
  const tried = typeOf(first.key);
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

function typeOf(key: Buffer): string {
  return key.subarray(4, 4 + key.readUInt32BE(0)).toString('latin1');
}

/** A login that offers nothing: the connection ends where authentication would begin. */
function noLogin(host: Host): Login {
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
