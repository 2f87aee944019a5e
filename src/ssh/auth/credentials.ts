// Credentials: makes the login of each connection, and tells whether anything that a login depends on here has changed.
import { createHash } from 'node:crypto';
import { statForeignFile } from '../../files/foreign-file.ts';
import { openAgent } from '../../keys/agent.ts';
import { fingerprint } from '../../keys/fingerprint.ts';
import type { Unlock } from '../../keys/unlock.ts';
import type { Clock } from '../../model/clock.ts';
import type { TypedSecrets } from '../../model/handover.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { formatSecretRef } from '../../model/secret.ts';
import type { CallerEnvironment } from '../../model/session.ts';
import type { SecretReader } from '../../secrets/read.ts';
import { Remembered, type Proven, type SpentCodes } from './kept.ts';
import { agentPaths } from './key-files.ts';
import { Login, type CreateLogin } from './login.ts';

/** What the daemon hands in, once. */
export interface CredentialParts {
  readonly secrets: Pick<SecretReader, 'read' | 'circumstances'>;
  readonly proven: Proven;
  readonly spentCodes: SpentCodes;
  readonly clock: Clock;
  readonly log: (
    level: 'debug' | 'info' | 'warn',
    event: string,
    message: string,
    facts?: Record<string, unknown>,
  ) => void;
  /** Ours; null where files have no modes. */
  readonly uid: number | null;
  /** This machine's name, for host-based logins. */
  readonly hostname: string;
  /** Our user's name here, for host-based logins. */
  readonly localUser: string;
  /** Variables that no command gets. */
  readonly withheld: () => ReadonlySet<string>;
  /** For the command of a certificate. Default 30 s, as for one that tells a secret. */
  readonly commandTimeoutMs?: number;
  /** Opens encrypted keys; by default in a thread of its own. */
  readonly unlock?: Unlock;
}

export interface Credentials {
  readonly createLogin: CreateLogin;
  /** Forgets typed passwords and passphrases, the keys they opened and what was refused, for all but these hosts. */
  forgetAllBut(hosts: readonly Host[]): void;
  /** Passwords and passphrases that were typed and are kept. */
  typed(): TypedSecrets;
  inherit(typed: TypedSecrets): void;
  /**
   * A digest of everything that could change the outcome of a login: key and certificate files, the agent's keys,
   * secret sources. Equal digests: nothing changed. Never contains a secret.
   */
  circumstances(host: Host, environment: CallerEnvironment): Promise<string>;
}

/** Once a process: its logins share what was typed, opened and refused. */
export function createCredentials(parts: CredentialParts): Credentials {
  const remembered = new Remembered();
  return {
    createLogin: (host, context) => new Login(host, context, parts, remembered),
    forgetAllBut: (hosts) => remembered.forgetAllBut(hosts),
    typed: () => remembered.typed(),
    inherit: (typed) => remembered.inherit(typed),
    circumstances: (host, environment) => describeCircumstances(host, environment, parts),
  };
}

/**
 * A digest of all that a login depends on here, so that "did anything change?" costs no attempt (SPEC 3): SHA-256 in hex.
 * Secret sources tell of themselves; files go in as size, time and inode.
 */
export async function describeCircumstances(
  host: Host,
  environment: CallerEnvironment,
  parts: Pick<CredentialParts, 'clock' | 'uid' | 'secrets'>,
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
    ...(await Promise.all(
      refs.map(
        async (ref) => `${formatSecretRef(ref)} ${await parts.secrets.circumstances(ref, environment)}`,
      ),
    )),
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
