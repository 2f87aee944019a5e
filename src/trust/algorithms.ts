// Which host key algorithms to ask a server for first: those whose keys are known already, else a known host would look changed. Pure.
import { isCertificateType, keyTypeOf } from '../keys/algorithms.ts';
import { nameWithoutPort, type KnownHostEntry } from './known-hosts.ts';
import { entriesFor, revokes } from './verdict.ts';

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
