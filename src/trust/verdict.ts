// The verdict on a key that a server presents, and which keys to ask it for first, from what known_hosts files say of its name (SPEC 5; OpenSSH's hostfile.c). Pure.
import { isCertificateType, keyTypeOf } from '../keys/algorithms.ts';
import {
  certificateDamage,
  certificateProblem,
  parseCertificate,
  plainKey,
  type Certificate,
} from '../keys/certificate.ts';
import { keyType, keyWeakness } from '../keys/public-key.ts';
import {
  matchesHosts,
  namesExactly,
  nameWithoutPort,
  type KnownHostEntry,
  type Place,
} from './known-hosts.ts';

/** A key that stands under the name, with its line. */
export interface KnownKey extends Place {
  readonly type: string;
  readonly fingerprint: string;
}

export type Verdict =
  /** `exact`: the key itself stands under this very name, not by a pattern, a CA or the name without its port. */
  | { readonly kind: 'trusted'; readonly at: Place; readonly exact: boolean; readonly entry: KnownHostEntry }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'changed'; readonly known: readonly KnownKey[] }
  /** No key at all, or one too weak to count: never to be asked about or stored. */
  | { readonly kind: 'unusable'; readonly reason: string }
  /** `what` is revoked: the key itself, or the CA that signed for it. */
  | { readonly kind: 'revoked'; readonly at: Place; readonly what: 'key' | 'certificate authority' };

/** A verdict, with the plain key it is about and the certificate that came with it. */
export interface Judgement {
  readonly verdict: Verdict;
  /** The plain public key: what to show, to store and to check the signature of the key exchange with. */
  readonly key: Buffer;
  readonly certificate: Certificate | null;
  /** Why the certificate did not count, so that the plain key was judged; null when it did or there is none. */
  readonly certificateProblem: string | null;
}

/** Matching a hashed name costs an HMAC a line, and a dial asks several times: the answers of a list live as long as it. */
const matched = new WeakMap<readonly KnownHostEntry[], Map<string, readonly KnownHostEntry[]>>();

/** Entries that are about a name; the input keeps its order: our own store first. */
export function entriesFor(entries: readonly KnownHostEntry[], name: string): readonly KnownHostEntry[] {
  const known = matched.get(entries) ?? new Map<string, readonly KnownHostEntry[]>();
  matched.set(entries, known);
  const found = known.get(name) ?? entries.filter((entry) => matchesHosts(entry.hosts, name));
  known.set(name, found);
  return found;
}

/** Judges a plain key. `name` as `hostKeyName` makes it. */
export function judge(entries: readonly KnownHostEntry[], name: string, key: Buffer): Verdict {
  const weakness = keyWeakness(key);
  if (weakness !== null) return { kind: 'unusable', reason: weakness };
  const verdict = judgeUnder(entriesFor(entries, name), name, key);
  if (verdict.kind !== 'unknown') return verdict;
  // OpenSSH looks a host on another port up by its bare name too, where a match counts and a mismatch does not.
  const bare = nameWithoutPort(name);
  if (bare === null) return verdict;
  const elsewhere = judgeUnder(entriesFor(entries, bare), bare, key);
  if (elsewhere.kind === 'trusted') return { ...elsewhere, exact: false };
  return elsewhere.kind === 'revoked' ? elsewhere : verdict;
}

/**
 * True when an @revoked line is about the key. A certificate on the line, or a presented one, stands for the plain key
 * in it, as sshkey_equal_public has it in OpenSSH: whoever revokes one certificate of a host distrusts its key.
 */
export function revokes(entry: KnownHostEntry, key: Buffer): boolean {
  return entry.marker === 'revoked' && plainKey(entry.key).equals(plainKey(key));
}

function judgeUnder(matching: readonly KnownHostEntry[], name: string, key: Buffer): Verdict {
  const revoked = matching.find((entry) => revokes(entry, key));
  if (revoked !== undefined) return { kind: 'revoked', at: placeOf(revoked), what: 'key' };
  const known = matching.filter((entry) => entry.marker === null);
  const same = known.filter((entry) => entry.key.equals(key));
  const exact = same.find((entry) => namesExactly(entry.hosts, name));
  const entry = exact ?? same[0];
  if (entry !== undefined) return { kind: 'trusted', at: placeOf(entry), exact: exact !== undefined, entry };
  return known.length === 0 ? { kind: 'unknown' } : { kind: 'changed', known: known.map(knownKey) };
}

/**
 * Judges what a server presents, a plain key or a certificate. A certificate that no @cert-authority line vouches for
 * (or that is expired, for another name …) counts as the plain key in it, as in OpenSSH. One whose CA or key is
 * revoked, or whose CA never signed it, is refused for good.
 */
export function judgePresented(
  entries: readonly KnownHostEntry[],
  name: string,
  blob: Buffer,
  nowMs: number,
): Judgement {
  const plain = { key: blob, certificate: null, certificateProblem: null };
  if (!isCertificateType(keyType(blob))) return { ...plain, verdict: judge(entries, name, blob) };
  const certificate = parseCertificate(blob);
  if (certificate !== null) return judgeCertificate(entries, name, certificate, nowMs);
  return { ...plain, verdict: { kind: 'unusable', reason: 'the certificate is malformed' } };
}

function judgeCertificate(
  entries: readonly KnownHostEntry[],
  name: string,
  certificate: Certificate,
  nowMs: number,
): Judgement {
  const of = (verdict: Verdict, problem: string | null): Judgement => ({
    verdict,
    key: certificate.key.blob,
    certificate,
    certificateProblem: problem,
  });
  const bare = nameWithoutPort(name);
  const matching = [...entriesFor(entries, name), ...(bare === null ? [] : entriesFor(entries, bare))];
  for (const entry of matching) {
    if (revokes(entry, certificate.key.blob))
      return of({ kind: 'revoked', at: placeOf(entry), what: 'key' }, null);
    if (revokes(entry, certificate.caKey))
      return of({ kind: 'revoked', at: placeOf(entry), what: 'certificate authority' }, null);
  }
  const damage = certificateDamage(certificate);
  if (damage !== null)
    return of({ kind: 'unusable', reason: `the certificate cannot be believed: ${damage}` }, null);
  const authority = matching.find(
    (entry) => entry.marker === 'cert-authority' && entry.key.equals(certificate.caKey),
  );
  const problem =
    authority === undefined
      ? 'its certificate authority is not known for this host'
      : certificateProblem(certificate, bare ?? name, nowMs);
  if (authority === undefined || problem !== null)
    return of(judge(entries, name, certificate.key.blob), problem);
  return of({ kind: 'trusted', at: placeOf(authority), exact: false, entry: authority }, null);
}

function placeOf(entry: KnownHostEntry): Place {
  return { file: entry.file, line: entry.line };
}

function knownKey(entry: KnownHostEntry): KnownKey {
  return { ...placeOf(entry), type: entry.type, fingerprint: entry.fingerprint };
}

export interface KnownTypes {
  /** A CA vouches for hosts of this name: ask for certificates first. */
  readonly certificates: boolean;
  /** Types of the keys known under this name, "ssh-rsa" for every RSA key. */
  readonly keyTypes: readonly string[];
}

export function knownTypes(entries: readonly KnownHostEntry[], name: string): KnownTypes {
  const own = typesUnder(entries, name);
  const bare = nameWithoutPort(name);
  if (own.certificates || own.keyTypes.length > 0 || bare === null) return own;
  return typesUnder(entries, bare);
}

function typesUnder(entries: readonly KnownHostEntry[], name: string): KnownTypes {
  const matching = entriesFor(entries, name);
  const usable = matching.filter(
    (entry) => entry.marker !== 'revoked' && !matching.some((other) => revokes(other, entry.key)),
  );
  return {
    certificates: usable.some((entry) => entry.marker === 'cert-authority'),
    keyTypes: [...new Set(usable.filter((entry) => entry.marker === null).map((entry) => entry.type))],
  };
}

/**
 * The same algorithms, those that can lead to a known key first; otherwise in their order.
 * Certificate algorithms come first when a CA is known, and last when none is.
 */
export function orderHostKeyAlgorithms(algorithms: readonly string[], known: KnownTypes): readonly string[] {
  const rank = (algorithm: string): number => {
    const isKnown = known.keyTypes.includes(keyTypeOf(algorithm));
    if (isCertificateType(algorithm)) return known.certificates ? 0 : 3;
    return isKnown ? 1 : 2;
  };
  return algorithms
    .map((algorithm, index) => ({ algorithm, index, rank: rank(algorithm) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ algorithm }) => algorithm);
}
