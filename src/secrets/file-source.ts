// Secrets in files (`file:PATH`): refused when anybody but us, root, or a group we share by root's choice could read them (SPEC 2).
import { constants, type Stats } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { TunnelError } from '../errors.ts';
import { Secret } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';
import { secretFromBytes, secretLimitBytes } from './text.ts';

/** Who reads. Null where there are no user ids. */
export interface Reader {
  readonly uid: number;
  readonly groups: readonly number[];
}

export interface FileSourceOptions {
  readonly reader: Reader | null;
  /** $CREDENTIALS_DIRECTORY: systemd guards it by mount and ACL, so modes in it say little (systemd.exec(5)). */
  readonly credentialsDirectory: string | null;
}

/** Throws SECRET_MISSING, naming the file and what is wrong with it. */
export async function readSecretFile(written: string, options: FileSourceOptions): Promise<Secret> {
  const path = expandCredentials(written, options.credentialsDirectory);
  let file: FileHandle | null = null;
  try {
    // O_NONBLOCK: a FIFO must not hang the login.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = await file.stat();
    if (!stat.isFile()) throw missing(path, 'it is not a regular file');
    const trusted = await isInside(path, options.credentialsDirectory);
    const exposure = trusted || options.reader === null ? null : exposureOf(stat, options.reader);
    if (exposure !== null) throw missing(path, exposure, `chmod 600 ${shellWord(path)}`);
    if (stat.size > secretLimitBytes) throw missing(path, `it has ${stat.size} bytes, that is no secret`);
    return secretFromBytes(await file.readFile(), (why) => missing(path, why));
  } catch (thrown) {
    throw thrown instanceof TunnelError ? thrown : missing(path, reasonOf(thrown));
  } finally {
    await file?.close();
  }
}

/** Who could read the file that should not; null when nobody could. */
export function exposureOf(stat: Pick<Stats, 'uid' | 'gid' | 'mode'>, reader: Reader): string | null {
  const mode = stat.mode & 0o777;
  const octal = mode.toString(8).padStart(4, '0');
  if (stat.uid !== reader.uid && stat.uid !== 0) return `it belongs to user ${stat.uid}`;
  if ((mode & 0o007) !== 0) return `its mode ${octal} lets everybody in`;
  if ((mode & 0o070) === 0) return null;
  const byRoot = stat.uid === 0 && (mode === 0o440 || mode === 0o640);
  if (byRoot && reader.groups.includes(stat.gid)) return null;
  return `its mode ${octal} lets group ${stat.gid} in`;
}

/** $CREDENTIALS_DIRECTORY/NAME is how units name their secrets. */
function expandCredentials(path: string, folder: string | null): string {
  const name = /^\$(?:CREDENTIALS_DIRECTORY|\{CREDENTIALS_DIRECTORY\})\/(.+)$/.exec(path)?.[1];
  if (name === undefined) return path;
  if (folder !== null) return `${folder}/${name}`;
  throw missing(path, 'CREDENTIALS_DIRECTORY is not set', 'start tunnel by a unit with LoadCredential=');
}

async function isInside(path: string, folder: string | null): Promise<boolean> {
  if (folder === null) return false;
  try {
    const [parent, real] = await Promise.all([realpath(dirname(path)), realpath(folder)]);
    return parent === real || parent.startsWith(real + sep);
  } catch {
    return false; // the folder is not there: modes decide
  }
}

function missing(path: string, why: string, hint?: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `reading a secret failed, on ${path}: ${why}`, {
    hint: hint ?? `ls -l ${shellWord(path)}`,
    facts: { source: 'file', path },
  });
}

function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  return code ?? message;
}
