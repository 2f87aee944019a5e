// Login: the seam between a session and its credentials. Types only: credentials.ts makes one, session.ts drives it.
import type { Client } from 'ssh2';
import type { TunnelError } from '../../errors.ts';
import type { Host } from '../../model/host.ts';
import type { DialContext, LoginRecord } from '../../model/session.ts';

/** ssh2's callback for the next method: an `authHandler` object, or false when nothing is left. */
export type NextMethod = (method: object | false) => void;

/** One login on one connection: which credential is next, and what became of each. */
export interface Login {
  /**
   * Begins to look for credentials while the dial goes on. Throws the kept failure where no connection is to be made,
   * because what is new or proven is all that may be offered, and there is none of it (SPEC 3).
   */
  prepare(): Promise<void>;
  /** Hooks the protocol instance (authPK, USERAUTH_FAILURE …). Called right after `client.connect()`. */
  install(client: Client): void;
  /** ssh2's `authHandler`. Ends with `next(false)` when nothing is left. */
  readonly handler: (
    methodsLeft: readonly string[] | null,
    partial: boolean | null,
    next: NextMethod,
  ) => void;
  /** What the server accepted. Complete once `finish(true)` was called. */
  record(): LoginRecord;
  /** Why it failed: AUTH_REFUSED (offered what, server takes what), KEY_UNREADABLE, SECRET_MISSING, AGENT_DOWN. */
  failure(): TunnelError;
  /** The end of it, called once: frees agent sockets, remembers what worked. */
  finish(succeeded: boolean): void;
}

export type CreateLogin = (host: Host, context: DialContext) => Login;
