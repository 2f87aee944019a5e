// Stored answers of one login: a password and the secret behind codes, each read once. What was refused and has not changed
// is not sent again (SPEC 3).
import { createHash, randomBytes } from 'node:crypto';
import { asTunnelError, TunnelError } from '../../errors.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { Secret, type SecretKind } from '../../model/secret.ts';
import type { DialContext } from '../../model/session.ts';
import type { SecretReader, StoredRef } from '../../secrets/read.ts';
import { shownPath } from './key-files.ts';
import { methods } from './methods.ts';
import type { Obstacle } from './refusals.ts';

/** So that a name tells nothing of a weak password. */
const salt = randomBytes(16);

/** The name among the refused ones of a stored password, or of the secret behind codes. */
export function refusalOfSecret(secret: Secret): string {
  return createHash('sha256').update(salt).update(secret.reveal()).digest('hex');
}

/** A password or the secret behind codes is stored, and a method asks for it. */
export function hasStored({ password, totp, auth }: Host): boolean {
  const stored = (password !== null && password.from !== 'prompt') || totp !== null;
  return stored && auth.some((name) => methods[name].stored);
}

/** One a login. */
export class StoredAnswers {
  readonly #host: Host;
  readonly #context: DialContext;
  readonly #secrets: Pick<SecretReader, 'read'>;
  readonly #answers = new Map<'password' | 'totp', Promise<Secret>>();
  readonly #refusals: string[] = [];

  constructor(host: Host, context: DialContext, secrets: Pick<SecretReader, 'read'>) {
    this.#host = host;
    this.#context = context;
    this.#secrets = secrets;
  }

  /** What was read, by the names that refused ones have. */
  get refusals(): readonly string[] {
    return this.#refusals;
  }

  /** The secret, or what stands in the way. `file`: the key file that a passphrase is for. */
  async read(ref: StoredRef, kind: SecretKind, file: string | null = null): Promise<Secret | Obstacle> {
    try {
      if (kind === 'passphrase') return await this.#passphrase(ref, file);
      return await this.#once(ref, kind);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      const { message: why, hint } = error;
      return { code: 'SECRET_MISSING', why, hint, question: this.#question(kind, file), decisive: true };
    }
  }

  #once(ref: StoredRef, kind: 'password' | 'totp'): Promise<Secret> {
    const known = this.#answers.get(kind);
    if (known !== undefined) return known;
    const answer = this.#ask(ref, kind, null);
    answer.then(
      (secret) => this.#refusals.push(refusalOfSecret(secret)),
      () => undefined,
    );
    this.#answers.set(kind, answer);
    return answer;
  }

  /** In a keychain a passphrase stands under its key file's path, or under the host's name (SPEC 4, `secret set`). */
  async #passphrase(ref: StoredRef, file: string | null): Promise<Secret> {
    try {
      return await this.#ask(ref, 'passphrase', file);
    } catch (error) {
      if (ref.from !== 'keychain' || file === null) throw error;
      return this.#ask(ref, 'passphrase', null).catch(() => Promise.reject(asTunnelError(error)));
    }
  }

  #ask(ref: StoredRef, kind: SecretKind, file: string | null): Promise<Secret> {
    const { environment, signal } = this.#context;
    const owner =
      file === null
        ? { name: this.#host.name, endpoint: formatLogin(this.#host) }
        : { name: file, endpoint: null };
    return this.#secrets.read({ ref, kind, ...owner, environment, signal });
  }

  #question(kind: SecretKind, file: string | null): NonNullable<Obstacle['question']> {
    const login = formatLogin(this.#host);
    switch (kind) {
      case 'passphrase':
        return { kind, text: `Passphrase for ${shownPath(file ?? 'the key', this.#context.environment)}` };
      case 'password':
        return { kind, text: `Password for ${login}` };
      case 'totp':
        return { kind: 'prompt', text: `One-time code for ${login}` };
    }
  }
}
