// A real OpenSSH sshd on loopback in a temp folder: own host keys, own config, own log. One a test, gone with the test.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync, truncateSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';

const sshdPath = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/libexec/sshd'].find((path) =>
  existsSync(path),
);

/** For SshdOptions.root: a tree with OpenSSH 9.9 or later, which speaks the hybrid key exchange; null where none was laid out. */
export const newerOpenssh: string | null = process.env['NEWER_OPENSSH'] ?? process.env['SSHD_ROOT'] ?? null;

/** Null when tests may run against sshd; else why they are skipped. REQUIRE_SSHD=1 turns that into a failure. */
export function sshdMissing(): string | null {
  if (sshdPath !== undefined) return null;
  if (process.env['REQUIRE_SSHD'] === '1')
    throw new Error('REQUIRE_SSHD=1, but there is no sshd on this machine');
  return 'no sshd on this machine';
}

export interface SshdOptions {
  /** Lines of sshd_config, before the defaults (the first value wins in sshd_config(5)). */
  readonly config?: readonly string[];
  /** Host key types to make and offer. Default: ed25519. */
  readonly hostKeyTypes?: readonly ('ed25519' | 'ecdsa' | 'rsa')[];
  readonly port?: number;
  /** Default: 127.0.0.1. */
  readonly address?: string;
  /** A command in front of sshd's own, that ends by executing it: for a mount namespace. */
  readonly launcher?: readonly string[];
  /** A Debian tree (debootstrap(8)) whose /usr, and so whose sshd, is used. Default: SSHD_ROOT, else this machine's. */
  readonly root?: string;
}

export interface Sshd {
  readonly folder: string;
  readonly port: number;
  readonly user: string;
  /** A private key file (ed25519, no passphrase) that may log in. */
  readonly identity: string;
  readonly authorizedKeys: string;
  /** Path of a host key file by type. */
  hostKey(type?: 'ed25519' | 'ecdsa' | 'rsa'): string;
  /** "[127.0.0.1]:PORT ssh-ed25519 AAAA…": a known_hosts line. */
  knownHostsLine(type?: 'ed25519' | 'ecdsa' | 'rsa'): string;
  /** SHA256:… of a host key. */
  fingerprint(type?: 'ed25519' | 'ecdsa' | 'rsa'): string;
  /** Everything sshd logged so far (LogLevel DEBUG1). */
  log(): string;
  /** Empties the log: a run of hours keeps no more than its newest part. Not while sshd is starting. */
  forgetLog(): void;
  /** Pids of the session children of this sshd (both of the privilege-separated pair). */
  sessionPids(): number[];
  /** Signals every session child and returns their pids. One that has ended in the meantime is no fault. */
  signalSessions(signal: NodeJS.Signals): number[];
  /** The listening process. */
  pid(): number;
  stop(): Promise<void>;
  /** Starts again on the same port after `stop`. */
  start(): Promise<void>;
  /** Replaces a host key by a fresh one; takes effect at the next `start`. */
  changeHostKey(type?: 'ed25519' | 'ecdsa' | 'rsa'): void;
}

/** Makes a key pair with ssh-keygen; returns the private file's path. */
export function makeKey(path: string, args: readonly string[] = ['-t', 'ed25519'], passphrase = ''): string {
  execFileSync('ssh-keygen', ['-q', ...args, '-N', passphrase, '-C', 'test', '-f', path]);
  return path;
}

/** Starts a real sshd. Register `stop` with the test's clean-up yourself, or use `await using`. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd & AsyncDisposable> {
  const missing = sshdMissing();
  if (missing !== null) throw new Error(missing);
  const folder = temporaryFolder('sshd');
  const root = options.root ?? process.env['SSHD_ROOT'];
  const types = options.hostKeyTypes ?? ['ed25519'];
  const port = options.port ?? (await freePort());
  const address = options.address ?? '127.0.0.1';
  const hostKey = (type: 'ed25519' | 'ecdsa' | 'rsa' = types[0] ?? 'ed25519'): string =>
    join(folder, `host_${type}`);
  for (const type of types) makeKey(hostKey(type), ['-t', type]);
  const identity = makeKey(join(folder, 'id_ed25519'));
  const authorizedKeys = join(folder, 'authorized_keys');
  writeFileSync(authorizedKeys, readFileSync(`${identity}.pub`));
  chmodSync(authorizedKeys, 0o600);
  const configFile = join(folder, 'sshd_config');
  const logFile = join(folder, 'sshd.log');
  writeFileSync(logFile, '');
  writeFileSync(
    configFile,
    [
      ...(options.config ?? []),
      `Port ${port}`,
      `ListenAddress ${address}`,
      ...types.map((type) => `HostKey ${hostKey(type)}`),
      `AuthorizedKeysFile ${authorizedKeys}`,
      `PidFile ${join(folder, 'sshd.pid')}`,
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin yes',
      'LogLevel DEBUG1',
      // of this one the last value wins
      ...(options.config?.some((line) => line.startsWith('MaxStartups ')) ? [] : ['MaxStartups 500:30:1000']),
      'MaxSessions 1000',
      ...(root === undefined ? [] : ['PerSourcePenalties no']), // since 9.8: a test's refused logins are no attack
    ].join('\n') + '\n',
  );
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });

  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    const [program, ...args] = [
      ...(options.launcher ?? []),
      ...rootLauncher(root),
      sshdPath ?? 'sshd',
      '-f',
      configFile,
      '-D',
      '-E',
      logFile,
    ];
    child = spawn(program ?? 'sshd', args, { stdio: 'ignore' });
    const ended = new Promise<never>((_, reject) => {
      child?.once('exit', (code) =>
        reject(new Error(`sshd ended with ${code}:\n${readFileSync(logFile, 'utf8').slice(-2000)}`)),
      );
    });
    ended.catch(() => undefined); // only of interest while we wait for the start
    const before = readFileSync(logFile, 'utf8').split('Server listening on').length;
    const listening = (async (): Promise<void> => {
      while (
        readFileSync(logFile, 'utf8').split('Server listening on').length <= before - 1 ||
        !(await answers(port, address))
      ) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    await Promise.race([listening, ended]);
  };
  const stop = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    // Nothing listens any more by the time its sessions end: a client that connects again at once would else be let in,
    // by a session that nobody knows of.
    running.kill('SIGSTOP');
    const sessions = descendants(running.pid ?? 0);
    running.kill('SIGKILL');
    await gone;
    sendSignal(sessions, 'SIGKILL');
  };
  await start();
  const publicLine = (type?: 'ed25519' | 'ecdsa' | 'rsa'): string => {
    const [keyType, blob] = readFileSync(`${hostKey(type)}.pub`, 'utf8').split(' ');
    return `${keyType} ${blob}`;
  };
  return {
    folder,
    port,
    user: userInfo().username,
    identity,
    authorizedKeys,
    hostKey,
    knownHostsLine: (type) => `[127.0.0.1]:${port} ${publicLine(type)}`,
    fingerprint: (type) =>
      execFileSync('ssh-keygen', ['-lf', `${hostKey(type)}.pub`], { encoding: 'utf8' }).split(' ')[1] ?? '',
    log: () => readFileSync(logFile, 'utf8'),
    forgetLog: () => truncateSync(logFile), // sshd appends (O_APPEND)
    sessionPids: () => descendants(child?.pid ?? 0),
    signalSessions(signal) {
      const pids = descendants(child?.pid ?? 0);
      sendSignal(pids, signal);
      return pids;
    },
    pid: () => child?.pid ?? 0,
    start,
    stop,
    changeHostKey(type) {
      execFileSync('rm', ['-f', hostKey(type), `${hostKey(type)}.pub`]);
      makeKey(hostKey(type), ['-t', type ?? types[0] ?? 'ed25519']);
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Runs a command where another tree's /usr is this machine's: everything else (/etc, /tmp, /root) stays what it is. */
function rootLauncher(root: string | undefined): readonly string[] {
  if (root === undefined) return [];
  return ['unshare', '-m', 'sh', '-c', 'mount --bind "$0/usr" /usr && exec "$@"', root];
}

async function answers(port: number, address: string): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

/** Signals processes. The child that did a key exchange ends at the login: between looking and signalling, often. */
export function sendSignal(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // it ended by itself in the meantime
    }
  }
}

/** Every process below a pid, from /proc. */
export function descendants(pid: number): number[] {
  if (pid === 0) return [];
  let children: number[];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
  return children.flatMap((child) => [child, ...descendants(child)]);
}
