// Secrets as text: from the bytes of a file or a command, one line end dropped. Pure.
import { Secret } from '../model/secret.ts';

/** More than any password, passphrase or token: what is longer was named by mistake. */
export const secretLimitBytes = 64 * 1024;

/** `refuse` makes the error for bytes that are no secret. Only one line end goes: a secret may end in blanks. */
export function secretFromBytes(bytes: Buffer, refuse: (why: string) => Error): Secret {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refuse('it is not UTF-8 text'); // the bytes themselves must not get into an error
  }
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw refuse('it is empty');
  return new Secret(value);
}
