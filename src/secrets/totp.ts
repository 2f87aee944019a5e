// One-time codes from a shared secret (RFC 6238 over RFC 4226), and the forms people keep that secret in. Pure.
import { createHmac } from 'node:crypto';
import { TunnelError } from '../errors.ts';
import type { Secret } from '../model/secret.ts';

export interface TotpParameters {
  readonly key: Buffer;
  readonly digits: number;
  readonly periodSeconds: number;
  readonly algorithm: 'sha1' | 'sha256' | 'sha512';
}

export interface TotpCode {
  readonly code: string;
  /** Periods since 1970: two codes are the same exactly when their steps are. */
  readonly step: number;
  /** Until the next code begins. */
  readonly expiresInMs: number;
}

/**
 * Reads a base32 secret (blanks, dashes and small letters allowed, as authenticator apps show it) or an
 * otpauth://totp URI. Throws SECRET_MISSING, without the secret, when it is neither.
 */
export function parseTotp(secret: Secret): TotpParameters {
  const text = secret.reveal().trim();
  const defaults = { digits: 6, periodSeconds: 30, algorithm: 'sha1' } as const;
  if (!/^otpauth:/i.test(text)) return { ...defaults, key: keyOf(text) };
  const uri = parseUri(text);
  if (uri.host.toLowerCase() !== 'totp') throw malformed('only otpauth://totp is time-based');
  const parameters = uri.searchParams;
  return {
    key: keyOf(parameters.get('secret') ?? ''),
    digits: wholeNumber(parameters, 'digits', defaults.digits, [6, 10]),
    periodSeconds: wholeNumber(parameters, 'period', defaults.periodSeconds, [1, 3600]),
    algorithm: algorithmOf(parameters.get('algorithm')),
  };
}

/** The code that is valid at a time (milliseconds since 1970). */
export function totpCode(parameters: TotpParameters, nowMs: number): TotpCode {
  const periodMs = parameters.periodSeconds * 1000;
  const step = Math.floor(nowMs / periodMs);
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const digest = createHmac(parameters.algorithm, parameters.key).update(counter).digest();
  const offset = digest.readUInt8(digest.length - 1) & 0xf;
  const number = digest.readUInt32BE(offset) & 0x7fffffff;
  const code = String(number % 10 ** parameters.digits).padStart(parameters.digits, '0');
  return { code, step, expiresInMs: periodMs - (nowMs % periodMs) };
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 4648 base32, padding optional. */
function keyOf(text: string): Buffer {
  const letters = text.replace(/[\s-]/g, '').replace(/=+$/, '').toUpperCase();
  if (letters === '') throw malformed('it holds no secret');
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of letters) {
    const digit = alphabet.indexOf(letter);
    if (digit < 0) throw malformed('it is neither base32 nor an otpauth:// URI');
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((value >> bits) & 0xff);
  }
  if (bytes.length === 0) throw malformed('it is too short');
  return Buffer.from(bytes);
}

function parseUri(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw malformed('its URI is malformed'); // URL's own error would quote the secret
  }
}

function algorithmOf(written: string | null): TotpParameters['algorithm'] {
  const name = (written ?? 'SHA1').toLowerCase().replace('-', '');
  if (name === 'sha1' || name === 'sha256' || name === 'sha512') return name;
  throw malformed('its algorithm is none of SHA1, SHA256, SHA512');
}

function wholeNumber(
  parameters: URLSearchParams,
  what: 'digits' | 'period',
  otherwise: number,
  [least, most]: readonly [number, number],
): number {
  const written = parameters.get(what);
  if (written === null) return otherwise;
  const number = /^\d{1,5}$/.test(written) ? Number(written) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw malformed(`its ${what} must be ${least}-${most}`);
}

function malformed(why: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `the one-time code secret (totp) cannot be used: ${why}`, {
    hint: 'store the base32 secret or the otpauth:// URI that the site shows beside its QR code',
    facts: { source: 'totp' },
  });
}
