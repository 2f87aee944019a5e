// Secrets in files (`file:PATH`): refused when anybody but us, root, or a group we share by root's choice could read them (SPEC 2).
import { realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { TunnelError } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { readForeignFile, UnreadableFile } from '../files/foreign-file.ts';
import { exposureOf, type Reader } from '../files/owned.ts';
import { Secret } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';
import { secretFromBytes, secretLimitBytes } from './text.ts';

export interface FileSourceOptions {
  readonly reader: Reader | null;
  /** $CREDENTIALS_DIRECTORY: systemd guards it by mount and ACL, so modes in it say little (systemd.exec(5)). */
  readonly credentialsDirectory: string | null;
}

/** Throws SECRET_MISSING, naming the file and what is wrong with it. */
export async function readSecretFile(written: string, options: FileSourceOptions): Promise<Secret> {
  const path = expandCredentials(written, options.credentialsDirectory);
  try {
    const { bytes, stats } = await readForeignFile(path, secretLimitBytes);
    const trusted = await isInside(path, options.credentialsDirectory);
    const facts = { uid: Number(stats.uid), gid: Number(stats.gid), mode: Number(stats.mode) };
    const exposure = trusted || options.reader === null ? null : exposureOf(facts, options.reader);
    if (exposure !== null) throw missing(path, exposure, `chmod 600 ${shellWord(path)}`);
    return secretFromBytes(bytes, (why) => missing(path, why));
  } catch (thrown) {
    throw thrown instanceof TunnelError ? thrown : missing(path, whyUnreadable(thrown));
  }
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
  return new TunnelError('SECRET_MISSING', `cannot read the secret, on ${path}: ${why}`, {
    hint: hint ?? `ls -l ${shellWord(path)}`,
    facts: { source: 'file', path },
  });
}

function whyUnreadable(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return thrown instanceof UnreadableFile ? message : (errnoWords(code) ?? message);
}
