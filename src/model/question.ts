// Questions a login may have for a person, and the answers that come back.
import type { Secret } from './secret.ts';

export type QuestionKind = 'host-key' | 'passphrase' | 'password' | 'prompt';

/** A question as it crosses the wire and stands in status. `text` is clean of control characters; never holds a secret. */
export interface Question {
  readonly kind: QuestionKind;
  /** The hop that asks, as the user knows it. */
  readonly host: string;
  readonly text: string;
  /** False: the answer is typed unseen. */
  readonly echo: boolean;
  /** SHA256:… of the key in question; null for the other kinds. */
  readonly fingerprint: string | null;
}

/** A question as the engine keeps it: with an id, and what a terminal needs to show it well. */
export interface PendingQuestion extends Question {
  readonly id: string;
  readonly link: string;
  /** user@hostname:port of the hop. */
  readonly endpoint: string;
  /** Key type of a host key question ("ssh-ed25519"); null for the others. */
  readonly keyType: string | null;
  /** Randomart lines of a host key question. */
  readonly randomart: readonly string[];
  /** True when it comes from the server: shown as "(user@host asks) …". */
  readonly fromServer: boolean;
  /** How often this was asked on this connection already: 0 for the first time. */
  readonly tries: number;
}

/** Null: the person declined. For a host key the secret holds "yes" or a fingerprint. */
export type Answer = Secret | null;
