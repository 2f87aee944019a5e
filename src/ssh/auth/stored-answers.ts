// Stored answers of one login: a password and the secret behind codes, each read once. What was refused and has not changed
// is not sent again (SPEC 3).
import type { Host } from '../../model/host.ts';
import type { Secret } from '../../model/secret.ts';
import type { SecretReader } from '../../secrets/read.ts';
import { readSource, type Reading } from './login-scene.ts';
import { refusalOfSecret } from './refusals.ts';

type Reader = Pick<SecretReader, 'read' | 'circumstances'>;

export interface StoredAnswers {
  /** For this login alone. */
  readonly reader: Reader;
  /** What was read, by the names that refused ones have. */
  refusals(): readonly string[];
}

export function keepStored(secrets: Reader): StoredAnswers {
  const answers = new Map<'password' | 'totp', Promise<Secret>>();
  const names: string[] = [];
  return {
    reader: {
      circumstances: (ref, environment) => secrets.circumstances(ref, environment),
      read(request) {
        const { kind } = request;
        if (kind === 'passphrase') return secrets.read(request);
        const answer = answers.get(kind) ?? secrets.read(request);
        if (!answers.has(kind))
          answer.then(
            (secret) => names.push(refusalOfSecret(secret)),
            () => undefined,
          );
        answers.set(kind, answer);
        return answer;
      },
    },
    refusals: () => names,
  };
}

export function hasStored({ password, totp, auth }: Host): boolean {
  const stored = (password !== null && password.from !== 'prompt') || totp !== null;
  return stored && auth.some((method) => method === 'password' || method === 'keyboard-interactive');
}

/**
 * True when one of them was not refused before: where two are wanted together, that makes the pair new. What cannot be
 * read stands in the notes.
 */
export async function hasFresh(reading: Reading, spurned: ReadonlySet<string>): Promise<boolean> {
  const { host } = reading;
  const isFresh = async (kind: 'password' | 'totp'): Promise<boolean> => {
    const ref = host[kind];
    const secret = ref === null || ref.from === 'prompt' ? null : await readSource(reading, ref, kind);
    return secret !== null && !spurned.has(refusalOfSecret(secret));
  };
  if (!hasStored(host)) return false;
  const [password, totp] = [await isFresh('password'), await isFresh('totp')];
  return password || totp;
}

/** A host without them, for a login that leaves them out. */
export function withoutStored(host: Host): Host {
  return { ...host, password: null, totp: null };
}
