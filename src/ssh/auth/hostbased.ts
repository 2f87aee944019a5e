// The hostbased step (RFC 4252 9): this machine vouches for its user with its own host key, which we must be able to read.
// OpenSSH has a setuid helper for that (ssh-keysign); here the key is read in this process, so it works for root, or for
// a host key that was made readable to the user and named as `identity` of a host with `auth: [hostbased]`.
import { fingerprint } from '../../keys/fingerprint.ts';
import { shortTypeName } from '../../keys/public-key.ts';
import { signWith } from '../../keys/sign.ts';
import { signatureChoices } from '../../keys/algorithms.ts';
import { wireString } from '../../keys/wire.ts';
import { unlockFile } from './key.ts';
import { isProblem, readKeyFile, type KeyFile } from './key-files.ts';
import type { Login } from './login.ts';
import type { Step, StepEnd, Steps } from './methods.ts';

/** The name among the refused ones of all the host keys of this machine. */
export const refusalOfHost = 'hostbased';

const systemKeys = ['ed25519', 'ecdsa', 'rsa'].map((type) => `/etc/ssh/ssh_host_${type}_key`);

export class HostbasedSteps implements Steps {
  readonly #login: Login;
  #left: KeyFile[] | null = null;

  constructor(login: Login) {
    this.#login = login;
  }

  async next(): Promise<Step | null> {
    if (this.#login.spurned.has(refusalOfHost)) return null;
    this.#left ??= [...(await this.#read())];
    const key = this.#left.shift();
    return key === undefined ? null : () => this.#offer(key);
  }

  /** The keys that can vouch: named identities when nothing else uses them, else the system's that we may read. */
  async #read(): Promise<readonly KeyFile[]> {
    const { host, parts } = this.#login;
    const named = host.identitiesOnly && !host.auth.includes('publickey') && !host.auth.includes('agent');
    const found = await Promise.all(
      (named ? host.identities : systemKeys).map((path) => readKeyFile(path, parts.uid)),
    );
    const keys = found.flatMap((file) => (isProblem(file) || file.secret === null ? [] : [file]));
    if (keys.length === 0) {
      const why = found.filter(isProblem).map(({ path, why: words }) => `${path}: ${words}`);
      this.#login.remark(`host-based: no host key of this machine can be read (${why.join(', ')})`);
    }
    return keys;
  }

  async #offer(file: KeyFile): Promise<StepEnd> {
    const login = this.#login;
    const { host, parts, wire } = login;
    const key = file.secret === null ? null : await unlockFile(login, file, file.secret);
    const { publicKey } = file;
    if (key === null || publicKey === null) return { kind: 'skipped' };
    const choice = signatureChoices(publicKey.type, host.algorithms.pubkey, wire.signatureAlgorithms)[0];
    if (choice === undefined) return { kind: 'skipped' };
    login.begin(
      `host key ${shortTypeName(publicKey.type)} ${fingerprint(publicKey.blob)} of ${parts.hostname} (host-based)`,
      { method: 'hostbased', credential: null, refusal: refusalOfHost, certificate: null },
    );
    const request = [
      wireString(choice.requested),
      wireString(publicKey.blob),
      wireString(`${parts.hostname}.`), // OpenSSH ends the name with a dot, and its server takes one off
      wireString(parts.localUser),
    ];
    const reply = await login.requestSigned('hostbased', request, (covered) =>
      signWith(key, choice.signature, covered),
    );
    return login.conclude(reply);
  }
}
