// The hostbased step (RFC 4252 9): this machine vouches for its user with its own host key, which we must be able to read.
// OpenSSH has a setuid helper for that (ssh-keysign); here the key is read in this process, so it works for root, or for
// a host key that was made readable to the user and named as `identity` of a host with `auth: [hostbased]`.
import { hostbasedRequest } from './requests.ts';
import { shortTypeName } from '../../keys/public-key.ts';
import { signWith } from '../../keys/sign.ts';
import { isProblem, readKeyFile, type KeyFile } from './key-files.ts';
import { begin, remark, settle, type Scene, type StepEnd } from './login-scene.ts';
import { refusalOfHost } from './refusals.ts';
import { signatureChoices } from '../../keys/algorithms.ts';
import { unlockFile } from './unlock-file.ts';
import { fingerprint } from '../../keys/fingerprint.ts';

const systemKeys = ['ed25519', 'ecdsa', 'rsa'].map((type) => `/etc/ssh/ssh_host_${type}_key`);

/** The keys that can vouch: named identities when nothing else uses them, else the system's that we may read. */
export async function readHostbasedKeys(scene: Scene): Promise<readonly KeyFile[]> {
  const { host, parts } = scene;
  const named = host.identitiesOnly && !host.auth.includes('publickey') && !host.auth.includes('agent');
  const found = await Promise.all(
    (named ? host.identities : systemKeys).map((path) => readKeyFile(path, parts.uid)),
  );
  const keys = found.flatMap((file) => (isProblem(file) || file.secret === null ? [] : [file]));
  if (keys.length === 0) {
    const why = found.filter(isProblem).map(({ path, why: words }) => `${path}: ${words}`);
    remark(scene, `host-based: no host key of this machine can be read (${why.join(', ')})`);
  }
  return keys;
}

export async function offerHost(scene: Scene, file: KeyFile): Promise<StepEnd> {
  const { host, parts, wire } = scene;
  const key = file.secret === null ? null : await unlockFile(scene, file, file.secret);
  const { publicKey } = file;
  if (key === null || publicKey === null) return { kind: 'skipped' };
  const choice = signatureChoices(publicKey.type, host.algorithms.pubkey, wire.signatureAlgorithms)[0];
  if (choice === undefined) return { kind: 'skipped' };
  begin(
    scene,
    `host key ${shortTypeName(publicKey.type)} ${fingerprint(publicKey.blob)} of ${parts.hostname} (host-based)`,
    { method: 'hostbased', credential: null, refusal: refusalOfHost },
  );
  // OpenSSH ends the name with a dot, and its server takes one off
  const from = { hostname: `${parts.hostname}.`, localUser: parts.localUser };
  const named = { algorithm: choice.requested, blob: publicKey.blob };
  const request = hostbasedRequest(wire.sessionId, host.user, named, from);
  const signature = await signWith(key, choice.signature, request.covered);
  const reply = await wire.request('hostbased', request.sealed(signature));
  if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
  settle(scene, reply);
  return reply;
}
