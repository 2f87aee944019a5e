// Secrets from files (`file:PATH`) and from commands (`command:[pass, show, db]`), and what bytes are a secret at all (SPEC 2).
import { realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { TunnelError } from '../errors.ts';
import { endingWords, firstLine, runProgram } from '../files/child.ts';
import { errnoWords } from '../files/errno.ts';
import { readForeignFile, UnreadableFile } from '../files/foreign-file.ts';
import { exposureOf, type Reader } from '../files/owned.ts';
import { cleanText } from '../model/clean.ts';
import { Secret } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';

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

export interface CommandOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The output of the command, one line end dropped. Throws SECRET_MISSING with the first line of its stderr. */
export async function readSecretCommand(argv: readonly string[], options: CommandOptions): Promise<Secret> {
  const [program] = argv;
  if (program === undefined) throw failure('command', 'it is empty');
  const { output, said, ending } = await runProgram(argv, {
    env: options.environment,
    deadlineMs: options.timeoutMs,
    outputLimitBytes: secretLimitBytes,
    signal: options.signal,
  });
  const why =
    ending.how === 'too-much' ? 'it printed more than a secret' : endingWords(ending, options.timeoutMs);
  const words = firstLine(said);
  if (why !== null) throw failure(program, words === '' ? why : `${why}: ${words}`);
  return secretFromBytes(output, (problem) => failure(program, problem.replace(/^it/, 'its output')));
}

/** Only the program is named: an argument may be a secret itself. */
function failure(program: string, why: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `secret command failed, on ${cleanText(program)}: ${why}`, {
    hint: 'run the command by hand and see what it prints',
    facts: { source: 'command', program: cleanText(program) },
  });
}

/** More than any password, passphrase or token: what is longer was named by mistake. */
export const secretLimitBytes = 64 * 1024;

/** `refuse` makes the error for bytes that are no secret. Only one line end goes: a secret may end in blanks. */
export function secretFromBytes(bytes: Buffer, refuse: (why: string) => Error): Secret {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refuse('it is not UTF-8 text'); // the bytes themselves must not get into an error
  }
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw refuse('it is empty');
  return new Secret(value);
}
