// `tunnel trust`, in the command's own process: goes the way the tunnel would go, hop by hop, shows each key that is not
// trusted yet, and stores what is confirmed. It logs in to jump hosts, never to the last server.
import { TunnelError } from '../errors.ts';
import { formatAddress, formatHop, formatLogin, type Host, type Way } from '../model/host.ts';
import type { DialContext, Session } from '../model/session.ts';
import { replaceKey, type ForeignLine } from '../trust/changes.ts';
import { fingerprint, randomart, readFingerprint } from '../keys/fingerprint.ts';
import type { Place } from '../trust/known-hosts.ts';
import {
  fetchEveryType,
  fetchHostKey,
  keyNameOf,
  type FetchedKey,
  type FetchParts,
} from '../ssh/fetch-host-key.ts';
import type { SshHouse } from '../ssh/parts.ts';
import { keyType } from '../keys/public-key.ts';

/** A key to confirm. */
export interface PresentedKey {
  /** The hop as the user knows it. */
  readonly host: string;
  /** hostname:port. */
  readonly address: string;
  /** user@hostname:port. */
  readonly endpoint: string;
  readonly keyType: string;
  readonly fingerprint: string;
  readonly randomart: readonly string[];
  /** Keys it would replace (`--replace`), or stand beside (`--also`). */
  readonly known: readonly { readonly type: string; readonly fingerprint: string; readonly place: string }[];
}

export interface TrustTerms {
  /** Answers for all hops. */
  readonly yes: boolean;
  /** SHA256:…: of the last server; stores without asking what matches, and nothing else. */
  readonly fingerprint: string | null;
  /** A changed key takes the place of the known ones. */
  readonly replace: boolean;
  /** A further key beside the known ones. */
  readonly also: boolean;
}

export interface TrustRequest {
  readonly way: Way;
  readonly terms: TrustTerms;
  readonly ssh: Pick<SshHouse, 'dialer' | 'trust' | 'parts'>;
  /**
   * For the connections: the signal, the environment, `ask` for a jump host's credentials. Its `acceptNew` does not
   * count here.
   */
  readonly context: DialContext;
  /** "yes", a fingerprint, or null for no; rejects where nobody is there. */
  readonly confirm: (key: PresentedKey) => Promise<string | null>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What became of one hop's key. */
export interface TrustOutcome {
  readonly host: string;
  readonly address: string;
  readonly keyType: string;
  readonly fingerprint: string;
  readonly kind: 'known' | 'stored' | 'added' | 'replaced';
  readonly at: Place | null;
  readonly revoked: readonly { readonly type: string; readonly fingerprint: string }[];
  readonly foreign: readonly ForeignLine[];
}

/**
 * Each hop in turn; `tell` hears of each as soon as it is done. Throws HOST_KEY_UNKNOWN when one is not confirmed
 * (nothing of it is stored), HOST_KEY_CHANGED or HOST_KEY_REVOKED, or what keeps a hop from being reached.
 */
export async function trustWay(request: TrustRequest, tell: (outcome: TrustOutcome) => void): Promise<void> {
  const { way, ssh, context } = request;
  const sessions: Session[] = [];
  try {
    for (const [index, host] of way.entries()) {
      const via = sessions.at(-1) ?? null;
      const isLast = index === way.length - 1;
      // A fingerprint is that of the server that was named: what is met on the way there is asked for.
      const hop = isLast ? request : { ...request, terms: { ...request.terms, fingerprint: null } };
      if (isLast || !(await isKnown(host, request))) tell(await trustHop(host, via, hop));
      if (isLast) return;
      const dial = (): Promise<Session> =>
        ssh.dialer.dial(host, { via, transport: null }, { ...context, acceptNew: false });
      sessions.push(
        await dial().catch(async (thrown: unknown) => {
          // Known, but by another key: the same questions as for the last hop.
          if (!(thrown instanceof TunnelError) || thrown.code !== 'HOST_KEY_CHANGED') throw thrown;
          tell(await trustHop(host, via, hop));
          return dial();
        }),
      );
    }
  } finally {
    for (const session of sessions.reverse()) await session.close();
  }
}

/** The first of the alternative ways that leads to the server, as a dial takes them. Throws as `trustWay`. */
export async function trustWays(
  ways: readonly [Way, ...Way[]],
  request: Omit<TrustRequest, 'way'>,
  tell: (outcome: TrustOutcome) => void,
): Promise<void> {
  for (const [index, way] of ways.entries()) {
    try {
      return await trustWay({ ...request, way }, tell);
    } catch (thrown) {
      const elsewhere = thrown instanceof TunnelError && ['UNREACHABLE', 'TIMED_OUT'].includes(thrown.code);
      if (!elsewhere || index === ways.length - 1) throw thrown;
    }
  }
}

/** Something is known of this hop: its login will tell whether it is right, and a connection is spared. */
async function isKnown(host: Host, { ssh }: TrustRequest): Promise<boolean> {
  const known = (await ssh.trust.read(host.knownHosts)).knownTypes(keyNameOf(host));
  return known.certificates || known.keyTypes.length > 0;
}

async function trustHop(host: Host, via: Session | null, request: TrustRequest): Promise<TrustOutcome> {
  const { terms, ssh, context } = request;
  const fetch: FetchParts = { host, via, parts: ssh.parts, context };
  if (terms.fingerprint !== null) return store(host, await matching(fetch, terms.fingerprint), request);
  const fetched = await fetchHostKey(fetch);
  const { verdict } = fetched.judgement;
  if (verdict.kind === 'trusted') return outcomeOf(host, fetched.key, 'known', { at: verdict.at });
  if (verdict.kind !== 'unknown' && !mayChange(fetched, terms)) throw refusalOf(host, fetched);
  await confirmed(host, fetched, request);
  return store(host, fetched, request);
}

function mayChange({ judgement }: FetchedKey, terms: TrustTerms): boolean {
  return judgement.verdict.kind === 'changed' && (terms.replace || terms.also);
}

function refusalOf(host: Host, { refusal }: FetchedKey): TunnelError {
  return (
    refusal ??
    new TunnelError(
      'HOST_KEY_UNKNOWN',
      `host key refused, on ${formatHop(host)}: no key of it could be fetched`,
    )
  );
}

/** The key of any type that has the fingerprint. */
async function matching(fetch: FetchParts, written: string): Promise<FetchedKey> {
  const wanted = readFingerprint(written.replace(/^sha256:/i, ''));
  const offered: string[] = [];
  for await (const fetched of fetchEveryType(fetch)) {
    const own = fingerprint(fetched.key);
    if (own === wanted) return fetched;
    offered.push(`${keyType(fetched.key)} ${own}`);
  }
  const where = formatHop(fetch.host);
  throw new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host key not trusted, on ${where}: the fingerprint that was given is of none that the server offers: ${offered.join(', ')}`,
    {
      hint: 'ask whoever runs the server for its fingerprints: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
    },
  );
}

async function confirmed(host: Host, fetched: FetchedKey, { terms, confirm }: TrustRequest): Promise<void> {
  if (terms.yes) return;
  const { key, judgement } = fetched;
  const { verdict } = judgement;
  const known = verdict.kind === 'changed' ? verdict.known : [];
  const answer = await confirm({
    host: host.name,
    address: formatAddress(host),
    endpoint: formatLogin(host),
    keyType: keyType(key),
    fingerprint: fingerprint(key),
    randomart: randomart(key),
    known: known.map(({ type, fingerprint: own, file, line }) => ({
      type,
      fingerprint: own,
      place: `${file}:${line}`,
    })),
  });
  const given = answer?.trim() ?? 'no';
  if (/^y(es)?$/i.test(given)) return;
  const pasted = readFingerprint(given.replace(/^sha256:/i, ''));
  if (pasted === fingerprint(key)) return;
  const why =
    pasted === null ? 'it was not confirmed' : 'the fingerprint that was given is not the one of this key';
  throw new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host key not trusted, on ${formatHop(host)}: ${keyType(key)} ${fingerprint(key)}: ${why}`,
    { hint: { command: 'trust', on: { host: formatAddress(host) } } },
  );
}

async function store(host: Host, fetched: FetchedKey, request: TrustRequest): Promise<TrustOutcome> {
  const { terms, ssh, now } = request;
  const { key, name, judgement } = fetched;
  const { verdict } = judgement;
  if (verdict.kind === 'trusted') return outcomeOf(host, key, 'known', { at: verdict.at });
  if (verdict.kind === 'unknown') {
    const { at, unwritten } = await ssh.trust.trust(name, key);
    if (unwritten !== null) throw unwritten; // a person is told "stored" only of what stays
    return outcomeOf(host, key, 'stored', { at });
  }
  if (!mayChange(fetched, terms)) throw refusalOf(host, fetched);
  if (terms.replace) {
    return outcomeOf(
      host,
      key,
      'replaced',
      await replaceKey({ store: ssh.trust, name, foreignFiles: host.knownHosts, nowMs: now() }, key),
    );
  }
  const { at, unwritten } = await ssh.trust.also(name, key);
  if (unwritten !== null) throw unwritten;
  return outcomeOf(host, key, 'added', { at });
}

function outcomeOf(
  host: Host,
  key: Buffer,
  kind: TrustOutcome['kind'],
  more: Partial<Pick<TrustOutcome, 'at' | 'revoked' | 'foreign'>>,
): TrustOutcome {
  return {
    host: host.name,
    address: formatAddress(host),
    keyType: keyType(key),
    fingerprint: fingerprint(key),
    kind,
    at: null,
    revoked: [],
    foreign: [],
    ...more,
  };
}
