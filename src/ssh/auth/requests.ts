// Authentication requests as bytes (RFC 4252 5, 7, 8, 9; RFC 4256 3.1), and what is signed in them.
import { wireBoolean, wireString } from '../../keys/wire.ts';

const service = 'ssh-connection';

function head(user: string, method: string): Buffer {
  return Buffer.concat([wireString(user), wireString(service), wireString(method)]);
}

export function noneRequest(user: string): Buffer {
  return head(user, 'none');
}

/** `changed`: the new password, when the server asked to change it. */
export function passwordRequest(user: string, password: string, changed: string | null): Buffer {
  return Buffer.concat([
    head(user, 'password'),
    wireBoolean(changed !== null),
    wireString(password),
    ...(changed === null ? [] : [wireString(changed)]),
  ]);
}

/** The language tag is deprecated, and naming no submethod lets the server choose. */
export function interactiveRequest(user: string): Buffer {
  return Buffer.concat([head(user, 'keyboard-interactive'), wireString(''), wireString('')]);
}

/** Asks whether a key would do. `algorithm` names a certificate type for a certificate. */
export function keyProbe(user: string, algorithm: string, blob: Buffer): Buffer {
  return Buffer.concat([
    head(user, 'publickey'),
    wireBoolean(false),
    wireString(algorithm),
    wireString(blob),
  ]);
}

/** A request that waits for its signature: sign `covered`, then send `sealed(signature)`. */
export interface Unsigned {
  readonly covered: Buffer;
  sealed(signature: Buffer): Buffer;
}

const messageRequest = Buffer.from([50]);

function unsigned(sessionId: Buffer, body: Buffer): Unsigned {
  return {
    covered: Buffer.concat([wireString(sessionId), messageRequest, body]),
    sealed: (signature) => Buffer.concat([body, wireString(signature)]),
  };
}

export function keyRequest(sessionId: Buffer, user: string, algorithm: string, blob: Buffer): Unsigned {
  return unsigned(
    sessionId,
    Buffer.concat([head(user, 'publickey'), wireBoolean(true), wireString(algorithm), wireString(blob)]),
  );
}

/** `hostname` and `localUser`: who we say we are; the key is the one of this machine. */
export function hostbasedRequest(
  sessionId: Buffer,
  user: string,
  key: { algorithm: string; blob: Buffer },
  from: { hostname: string; localUser: string },
): Unsigned {
  return unsigned(
    sessionId,
    Buffer.concat([
      head(user, 'hostbased'),
      wireString(key.algorithm),
      wireString(key.blob),
      wireString(from.hostname),
      wireString(from.localUser),
    ]),
  );
}
