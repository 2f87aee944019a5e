// A PostgreSQL server of its own in a temp folder, where PostgreSQL is installed as Debian does it.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The folder of its programs; undefined where it is not installed. */
export const postgresFolder = existsSync('/usr/lib/postgresql')
  ? readdirSync('/usr/lib/postgresql').map((version) => `/usr/lib/postgresql/${version}/bin`)[0]
  : undefined;

/** The server as its own account where we are root: it refuses to run as root, and may not enter root's folders. */
export function startPostgres(bin: string, port: number): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'pg-'));
  const account = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'];
  const asOther = process.getuid?.() === 0 ? account : [];
  if (asOther.length > 0) execFileSync('chown', ['postgres', folder]);
  const run = (argv: string[]): [string, string[]] => {
    const [command = '', ...args] = [...asOther, ...argv];
    return [command, args];
  };
  execFileSync(
    ...run([`${bin}/initdb`, '-D', `${folder}/data`, '-U', 'postgres', '-A', 'trust', '--no-sync']),
    {
      stdio: 'ignore',
      cwd: '/',
    },
  );
  const options = ['-D', `${folder}/data`, '-p', String(port), '-h', '127.0.0.1', '-k', folder, '-F'];
  const server = spawn(...run([`${bin}/postgres`, ...options]), { stdio: 'ignore', cwd: '/' });
  server.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return server;
}
