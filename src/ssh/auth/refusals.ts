// Refusals: what a server has refused, by name, so that it is not offered again because something else changed (SPEC 3).
import { createHash, randomBytes } from 'node:crypto';
import type { Secret } from '../../model/secret.ts';
import type { DialContext } from '../../model/session.ts';
import type { Notes } from './login-notes.ts';
import type { Offer } from './offers.ts';
import { fingerprint } from '../../keys/fingerprint.ts';

/** So that a name tells nothing of a weak password. */
const salt = randomBytes(16);

/** Of a key, or of one certificate: a renewed one is another. */
export function refusalOfKey(blob: Buffer): string {
  return fingerprint(blob);
}

/** Of a stored password or the secret behind codes. */
export function refusalOfSecret(secret: Secret): string {
  return createHash('sha256').update(salt).update(secret.reveal()).digest('hex');
}

/** Of all the host keys of this machine. */
export const refusalOfHost = 'hostbased';

/** What a login leaves out. Of now: what it is refused itself may yet be wanted after another method. */
export function spurnedBy({ onlyNew, refused }: DialContext): ReadonlySet<string> {
  return onlyNew === true ? new Set(refused) : new Set();
}

/**
 * A key or certificate that has logged in there before was refused, or not come to: it may be accepted again (SPEC 3).
 * One that the server took, and that something else was missing after, is not in question.
 */
export function mayBeAcceptedAgain(
  offers: readonly Offer[],
  notes: Notes,
  isProven: (offer: Offer) => boolean,
  refused: ReadonlySet<string> | undefined,
): boolean {
  const unwanted = notes.methods?.includes('publickey') === false && notes.accepted.length === 0;
  return offers.some(
    (offer) =>
      isProven(offer) &&
      (notes.refused.includes(offer.words) ||
        (offer.wire !== null && refused?.has(refusalOfKey(offer.wire.blob)) === true) ||
        ((notes.hungUp || unwanted) && !notes.accepted.includes(offer.words))),
  );
}
