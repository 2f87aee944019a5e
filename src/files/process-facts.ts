// The facts of this process and its user, read in one place for commands and supervisors. Nothing here throws: a user without a
// passwd entry, without HOME, or with an empty one is a user too.
import { homedir, hostname, tmpdir, userInfo } from 'node:os';
import { resolve } from 'node:path';
import type { PlaceFacts } from '../paths.ts';

/** The facts that decide where things are. */
export function processFacts(): PlaceFacts {
  const cwd = process.cwd();
  return {
    env: process.env,
    platform: process.platform,
    uid: process.getuid?.() ?? 0,
    home: resolve(cwd, homeOf(process.env)),
    tmpdir: resolve(cwd, tmpdir()),
    hostname: hostname() || 'localhost',
    cwd,
  };
}

/** An empty HOME is none. Where there is none at all home is `/`, as for sh(1). */
function homeOf(env: NodeJS.ProcessEnv): string {
  if (env['HOME'] !== undefined && env['HOME'] !== '') return env['HOME'];
  const windows = process.platform === 'win32';
  return (windows ? homedir() : passwdEntry()?.home) || '/';
}

export interface PasswdEntry {
  readonly user: string;
  readonly home: string;
}

/** Null: a user that the machine does not know, as in a container that runs under a bare uid. */
export function passwdEntry(): PasswdEntry | null {
  try {
    const { username, homedir: home } = userInfo();
    return { user: username, home };
  } catch {
    return null;
  }
}

/** The name of this user: the machine's, else the environment's, else the number. */
export function userName(facts: Pick<PlaceFacts, 'env' | 'uid'>, entry = passwdEntry()): string {
  return entry?.user || facts.env['USER'] || facts.env['LOGNAME'] || String(facts.uid);
}
