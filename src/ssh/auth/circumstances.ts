// Circumstances: a digest of all that a login depends on here, so that "did anything change?" costs no attempt (SPEC 3).
import { createHash } from 'node:crypto';
import { statForeignFile } from '../../files/foreign-file.ts';
import type { Clock } from '../../model/clock.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { formatSecretRef, type SecretRef } from '../../model/secret.ts';
import type { CallerEnvironment } from '../../model/session.ts';
import type { SecretReader } from '../../secrets/read.ts';
import { openAgent } from '../../keys/agent.ts';
import { agentPaths } from './key-ring.ts';
import { fingerprint } from '../../keys/fingerprint.ts';

/** SHA-256 in hex. Secret sources tell of themselves; files go in as size, time and inode. */
export async function describeCircumstances(
  host: Host,
  environment: CallerEnvironment,
  parts: {
    readonly clock: Clock;
    readonly uid: number | null;
    readonly secrets: Pick<SecretReader, 'circumstances'>;
  },
): Promise<string> {
  const refs = [host.password, host.passphrase, host.totp, host.proxy?.password ?? null].filter(
    (ref) => ref !== null,
  );
  const files = [
    ...host.identities.flatMap((path) => [path, `${path}.pub`, `${path}-cert.pub`]),
    ...host.certificates,
  ];
  const lines = [
    formatLogin(host),
    ...(await Promise.all(files.map(describeFile))),
    ...(await Promise.all(refs.map((ref) => describeRef(ref, environment, parts.secrets)))),
    ...(await Promise.all(
      agentPaths(host, environment, parts.uid === null).map((path) => describeAgent(path, parts.clock)),
    )),
  ];
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

async function describeFile(path: string): Promise<string> {
  try {
    const facts = await statForeignFile(path);
    return `${path} ${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.mode}:${facts.uid}`;
  } catch (error) {
    return `${path} ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`;
  }
}

async function describeRef(
  ref: SecretRef,
  environment: CallerEnvironment,
  secrets: Pick<SecretReader, 'circumstances'>,
): Promise<string> {
  return `${formatSecretRef(ref)} ${await secrets.circumstances(ref, environment)}`;
}

async function describeAgent(path: string, clock: Clock): Promise<string> {
  try {
    const agent = await openAgent(path, clock);
    try {
      const keys = await agent.list();
      return `${path} ${keys.map(({ blob }) => fingerprint(blob)).join(' ')}`;
    } finally {
      agent.close();
    }
  } catch (error) {
    return `${path} ${error instanceof Error ? error.message : 'down'}`;
  }
}
