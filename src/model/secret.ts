// Secrets: where one is found (SecretRef), and a box that never prints what it holds (Secret).

export type SecretRef =
  | { readonly from: 'keychain' }
  | { readonly from: 'prompt' }
  | { readonly from: 'env'; readonly name: string }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'command'; readonly argv: readonly string[] };

export type SecretKind = 'password' | 'passphrase' | 'totp';

/** The source as the config writes it: safe to print, holds no secret. */
export function formatSecretRef(ref: SecretRef): string {
  switch (ref.from) {
    case 'keychain':
    case 'prompt':
      return ref.from;
    case 'env':
      return `env:${ref.name}`;
    case 'file':
      return `file:${ref.path}`;
    case 'command':
      return `command:[${ref.argv.join(', ')}]`;
  }
}

const redacted = '[redacted]';

/** A secret in a box: it prints as [redacted] everywhere; `reveal` is called only where it is used. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  equals(other: Secret): boolean {
    return this.#value === other.#value;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return redacted;
  }
}
