// Offers: the order in which a login presents keys and certificates (SPEC 2); key.ts leaves out what was refused. Pure.
import type { AgentKey } from '../../keys/agent-messages.ts';
import {
  certificateDoubts,
  certificateWords,
  parseCertificate,
  validityAt,
  type Certificate,
} from '../../keys/certificate.ts';
import { isCertificateType } from '../../keys/algorithms.ts';
import { shortTypeName, type PublicKey } from '../../keys/public-key.ts';
import type { KeyFile } from './key-files.ts';
import { fingerprint } from '../../keys/fingerprint.ts';

/** One key or certificate to present. Who signs: an agent, or a key file (whose public half may still be locked away). */
export interface Offer {
  readonly signer:
    { readonly by: 'agent'; readonly blob: Buffer } | { readonly by: 'file'; readonly file: KeyFile };
  /** What goes on the wire; null while only the passphrase would tell. */
  readonly wire: PublicKey | null;
  readonly certificate: Certificate | null;
  /** "agent key ED25519 SHA256:… (user@laptop)". */
  readonly words: string;
  /** Its name among the proven ones; null while locked away. */
  readonly credential: string | null;
}

export interface OfferParts {
  readonly identities: readonly KeyFile[];
  readonly identitiesOnly: boolean;
  /** From CertificateFile. */
  readonly certificates: readonly Certificate[];
  readonly agentKeys: readonly AgentKey[];
  readonly proven: (credential: string) => boolean;
  readonly nowMs: number;
  /** Who logs in: a certificate for somebody else is worth a word. */
  readonly user: string;
  /** How a path is shown: with ~ for the home. */
  readonly shown: (path: string) => string;
}

export interface Offers {
  readonly agent: readonly Offer[];
  readonly files: readonly Offer[];
}

const same = (one: Buffer, other: Buffer): boolean => one.equals(other);

/** The name of a key among the proven ones. */
export function credentialName(publicKey: PublicKey, certificate: Certificate | null): string {
  return certificate === null
    ? fingerprint(publicKey.blob)
    : `${fingerprint(certificate.key.blob)} certificate`;
}

/** Its name among the refused ones: of a key, or of one certificate, since a renewed one is another. */
export function refusalOfKey(blob: Buffer): string {
  return fingerprint(blob);
}

export function orderOffers(parts: OfferParts): Offers {
  const listed = agentContents(parts.agentKeys);
  const all: readonly Certificate[] = [
    ...parts.certificates,
    ...parts.identities.flatMap((file) => file.certificates),
  ];
  const certificatesOf = (key: PublicKey): readonly Certificate[] =>
    best(
      all.filter((certificate) => same(certificate.key.blob, key.blob)),
      parts.nowMs,
    );
  return {
    agent: agentOffers(parts, listed, certificatesOf, all),
    files: fileOffers(parts, certificatesOf),
  };
}

interface AgentContents {
  readonly keys: readonly AgentKey[];
  readonly certificates: readonly { readonly certificate: Certificate; readonly comment: string }[];
}

function agentContents(listed: readonly AgentKey[]): AgentContents {
  const certificates = listed.flatMap((entry) => {
    const certificate = isCertificateType(entry.type) ? parseCertificate(entry.blob) : null;
    return certificate === null ? [] : [{ certificate, comment: entry.comment }];
  });
  return { keys: listed.filter((entry) => !isCertificateType(entry.type)), certificates };
}

/** Valid ones first; those our clock calls expired last, since the server's clock decides. Each once. */
function best(certificates: readonly Certificate[], nowMs: number): readonly Certificate[] {
  const distinct = certificates.filter(
    (certificate, index) => certificates.findIndex((other) => same(other.blob, certificate.blob)) === index,
  );
  const worth = (certificate: Certificate): number => (validityAt(certificate, nowMs) === 'valid' ? 0 : 1);
  return distinct.toSorted((one, other) => worth(one) - worth(other));
}

/**
 * With identitiesOnly: what the identities (or certificates) name, in their order. Else everything in the agent: what
 * has logged in there before, then what the identities name, then the rest, so that a server that allows three
 * attempts (MaxAuthTries) is not asked about ten keys first.
 */
function agentOffers(
  parts: OfferParts,
  listed: AgentContents,
  certificatesOf: (key: PublicKey) => readonly Certificate[],
  named: readonly Certificate[],
): readonly Offer[] {
  const wanted = parts.identities.flatMap(({ publicKey }) => (publicKey === null ? [] : [publicKey]));
  const position = (key: PublicKey): number => {
    const index = wanted.findIndex((candidate) => same(candidate.blob, key.blob));
    if (index >= 0) return index;
    return named.some((certificate) => same(certificate.key.blob, key.blob)) ? wanted.length : Infinity;
  };
  const offers: { offer: Offer; at: number }[] = [];
  for (const { certificate, comment } of listed.certificates) {
    if (certificate.use !== 'user') continue;
    const signer = { by: 'agent', blob: certificate.blob } as const;
    const offer = certificateOffer(parts, certificate, signer, ['agent certificate', comment]);
    offers.push({ offer, at: position(certificate.key) });
  }
  for (const key of listed.keys) {
    const signer = { by: 'agent', blob: key.blob } as const;
    const at = position(key);
    for (const certificate of certificatesOf(key)) {
      const kind = 'agent key with certificate';
      offers.push({ offer: certificateOffer(parts, certificate, signer, [kind, key.comment]), at });
    }
    offers.push({ offer: keyOffer(key, signer, 'agent key', key.comment), at });
  }
  const distinct = offers.filter(
    ({ offer }, index) => index === offers.findIndex((other) => sameWire(other.offer, offer)),
  );
  const kept = parts.identitiesOnly ? distinct.filter(({ at }) => at !== Infinity) : distinct;
  const ordered = kept.toSorted((one, other) => rank(one.at) - rank(other.at)).map(({ offer }) => offer);
  return parts.identitiesOnly ? ordered : provenFirst(ordered, parts.proven);
}

const sameWire = (one: Offer, other: Offer): boolean =>
  one.wire !== null && other.wire !== null && same(one.wire.blob, other.wire.blob);

const rank = (at: number): number => (at === Infinity ? Number.MAX_SAFE_INTEGER : at);

function provenFirst(offers: readonly Offer[], proven: (credential: string) => boolean): readonly Offer[] {
  const known = (offer: Offer): number => (offer.credential !== null && proven(offer.credential) ? 0 : 1);
  return offers.toSorted((one, other) => known(one) - known(other));
}

/** Default files: the encrypted ones last. Named identities keep their order. */
function fileOffers(
  parts: OfferParts,
  certificatesOf: (key: PublicKey) => readonly Certificate[],
): readonly Offer[] {
  const usable = parts.identities.filter(({ secret }) => secret !== null);
  const locked = (file: KeyFile): number => (file.secret?.key === null ? 1 : 0);
  const files = parts.identitiesOnly ? usable : usable.toSorted((one, other) => locked(one) - locked(other));
  const offers = files.flatMap((file): readonly Offer[] => {
    const signer = { by: 'file', file } as const;
    const where = parts.shown(file.path);
    if (file.publicKey === null)
      return [{ signer, wire: null, certificate: null, words: `key ${where}`, credential: null }];
    const certificates = certificatesOf(file.publicKey).map((certificate) =>
      certificateOffer(parts, certificate, signer, ['certificate', where]),
    );
    return [...certificates, keyOffer(file.publicKey, signer, 'key', where)];
  });
  return parts.identitiesOnly ? offers : provenFirst(offers, parts.proven);
}

function keyOffer(key: PublicKey, signer: Offer['signer'], kind: string, where: string): Offer {
  const words = `${kind} ${shortTypeName(key.type)} ${fingerprint(key.blob)}${bracketed([where])}`;
  return {
    signer,
    wire: { type: key.type, blob: key.blob },
    certificate: null,
    words,
    credential: credentialName(key, null),
  };
}

function certificateOffer(
  parts: OfferParts,
  certificate: Certificate,
  signer: Offer['signer'],
  [kind, where]: readonly [string, string],
): Offer {
  const doubts = certificateDoubts(certificate, parts.user, parts.nowMs);
  return {
    signer,
    wire: { type: certificate.type, blob: certificate.blob },
    certificate,
    words: `${kind} ${certificateWords(certificate)}${bracketed([where, doubts])}`,
    credential: credentialName(certificate.key, certificate),
  };
}

function bracketed(parts: readonly string[]): string {
  const words = parts.filter((part) => part !== '').join(', ');
  return words === '' ? '' : ` (${words})`;
}
