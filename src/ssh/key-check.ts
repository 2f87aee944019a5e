// The host key of one connection, as ssh2 asks about it: once decided, then pinned and answered at once.
import type { Client } from 'ssh2';
import { parseCertificate } from '../keys/certificate.ts';
import { isCertificateType } from '../keys/algorithms.ts';
import { hostCertificates, type HostCertificates } from './ssh2/kex.ts';
import { sameKey, type Decision, type Verifier } from './verify.ts';
import { keyType } from '../keys/public-key.ts';

export type Accepted = Decision & { readonly accepted: true };

export interface KeyCheckParts {
  readonly verifier: Verifier;
  /** The key is refused: the connection is over. */
  readonly refused: (decision: Decision & { accepted: false }) => void;
  readonly failed: (thrown: unknown) => void;
  /** A person has answered; what the key decides is said next. */
  readonly answered: () => void;
  /** False: the connection is over, nothing is to be answered any more. */
  readonly wanted: () => boolean;
}

export class KeyCheck {
  readonly #parts: KeyCheckParts;
  #certificates: HostCertificates | null = null;
  /** What was presented and accepted, bytes and all. */
  presented: Buffer | null = null;
  accepted: Accepted | null = null;
  /** A person is looking at it. */
  asking: Promise<Decision> | null = null;

  constructor(parts: KeyCheckParts) {
    this.#parts = parts;
  }

  /** Right after `client.connect()`. */
  install(client: Client): void {
    this.#certificates = hostCertificates(client);
  }

  /** Before ssh2 sees a chunk from the server. */
  expect(): void {
    this.#certificates?.expect();
  }

  /** ssh2's hostVerifier: an answer now, or undefined and one through `answer`. */
  verify(blob: Buffer, answer: (accepted: boolean) => void): boolean | undefined {
    try {
      const presented = Buffer.from(blob);
      const certificate = isCertificateType(keyType(presented)) ? parseCertificate(presented) : null;
      if (certificate !== null) this.#certificates?.unwrap(certificate.key.blob);
      // at once on every later key exchange, or the stream breaks (SSH2.md 2.5)
      if (this.presented !== null) return sameKey(this.presented, presented);
      const decision = this.#parts.verifier.judge(presented);
      if (!(decision instanceof Promise)) return this.#decided(presented, decision);
      this.asking = decision;
      decision
        .then((late) => {
          if (!this.#parts.wanted()) return;
          this.asking = null;
          this.#parts.answered();
          answer(this.#decided(presented, late));
        })
        .catch((thrown: unknown) => this.#parts.failed(thrown));
      return undefined;
    } catch (thrown) {
      this.#parts.failed(thrown);
      return false;
    }
  }

  #decided(presented: Buffer, decision: Decision): boolean {
    if (!decision.accepted) {
      this.#parts.refused(decision);
      return false;
    }
    this.presented = presented;
    this.accepted = decision;
    return true;
  }
}
