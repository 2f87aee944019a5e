// Consent for project files: what such a file would do, in words; a digest of it; and which digests were allowed (SPEC 1).
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { TunnelError } from '../errors.ts';
import { updateFile } from '../files/atomic.ts';
import { readForeignFileNow, UnreadableFile } from '../files/foreign-file.ts';
import { foreignWriter } from '../files/owned.ts';
import { makeFolders } from '../files/folders.ts';
import type { Forward } from '../model/forward.ts';
import { shellWord } from '../model/shell-word.ts';
import type { Declared } from './declared.ts';

/**
 * Changes with anything but local ports, targets and tags. The target of a remote forward counts: there it is
 * something of this machine that the far side reaches. So does what stands in the project's own known_hosts. Runs nothing.
 */
export function consentDigest(declared: Declared): string {
  const tunnels = [...declared.tunnels.values()].map(({ name, own, settings, forwards }) => {
    const { local, remote, forwards: written, tags, ...others } = own;
    void [local, remote, written, tags];
    return [name, others, settings.socks_auth ?? null, forwards.map(lasting)];
  });
  const { tags, local, remote, forwards, ...defaults } = declared.defaults;
  void [tags, local, remote, forwards];
  const hosts = [...declared.hosts.values()].map(({ name, settings }) => [name, settings]);
  const { metrics, hooks, notify } = declared;
  const keys = ownKnownHosts(declared);
  const knownHosts = keys.size === 0 ? undefined : Object.fromEntries(keys);
  const all = { tunnels, defaults, hosts, metrics, hooks, notify, knownHosts };
  return createHash('sha256').update(canonical(all)).digest('hex');
}

/**
 * A digest of each known_hosts file that came with the project, by absolute path: whoever writes the config writes these
 * too. Not of those that are named by ~ or stand elsewhere: they are the user's.
 */
export function ownKnownHosts({ file, defaults, hosts, tunnels }: Declared): ReadonlyMap<string, string> {
  const root = dirname(file);
  const layers = [
    { settings: defaults, folder: root },
    ...hosts.values(),
    ...[...tunnels.values()].map(({ own, folder }) => ({ settings: own, folder })),
  ];
  const digests = new Map<string, string>();
  for (const { settings, folder } of layers)
    for (const written of settings.known_hosts ?? []) {
      const path = resolve(folder, written);
      const isOwn = !isAbsolute(written) || !relative(root, path).startsWith('..');
      if (written !== 'none' && !written.startsWith('~') && isOwn) digests.set(path, fileDigest(path));
    }
  return digests;
}

const largestBytes = 4 * 1024 * 1024;

/** Of a file as it is now; a word where there is none, or something else. */
export function fileDigest(path: string): string {
  try {
    return createHash('sha256').update(readForeignFileNow(path, largestBytes).bytes).digest('hex');
  } catch (thrown) {
    if (thrown instanceof UnreadableFile) return 'no file';
    throw thrown;
  }
}

/** What of a forward needs to be asked about again: all but its local port and its target. */
function lasting(forward: Forward): unknown {
  if (forward.type === 'remote') return forward;
  const { listen, ...others } = forward;
  const address = listen.kind === 'unix' ? listen.path : listen.host;
  return { ...others, target: null, address };
}

/** JSON with its keys in order, so that moving lines is no change. */
function canonical(value: unknown): string {
  if (value instanceof Array) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const pairs = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join(',')}}`;
}

interface Allowed {
  readonly version: 1;
  readonly files: Readonly<Record<string, { readonly digest: string; readonly at: string }>>;
}

const allowedFile = (stateDir: string): string => join(stateDir, 'allowed.json');

/** Others could have written it: then it is not our word. */
function isForeign(path: string): boolean {
  return foreignWriter(statSync(path), process.geteuid?.() ?? null) !== null;
}

/** True when this very content was allowed. Anything that cannot be read, or is not ours alone, counts as no. */
export function isAllowed(stateDir: string, file: string, digest: string): boolean {
  return readAllowed(stateDir).files[realPath(file)]?.digest === digest;
}

/**
 * Remembers that this content of the file may be used. `now`: milliseconds since 1970.
 * Throws DAEMON_DOWN where others may write to the state folder, a system error where nobody may.
 */
export async function allow(stateDir: string, file: string, digest: string, now: number): Promise<void> {
  makeFolders(stateDir);
  if (isForeign(stateDir))
    throw new TunnelError(
      'DAEMON_DOWN',
      `the folder ${stateDir} is not used: it is not ours, or others may write to it`,
      { hint: `ls -ld ${shellWord(stateDir)}` },
    );
  const entry = { digest, at: new Date(now).toISOString() };
  const path = allowedFile(stateDir);
  await updateFile(path, () => {
    const { files } = readAllowed(stateDir);
    const next: Allowed = { version: 1, files: { ...files, [realPath(file)]: entry } };
    return `${JSON.stringify(next, null, 2)}\n`;
  });
}

function readAllowed(stateDir: string): Allowed {
  try {
    const file = allowedFile(stateDir);
    if (isForeign(stateDir) || isForeign(file)) return { version: 1, files: {} };
    const read = JSON.parse(readFileSync(file, 'utf8')) as Partial<Allowed> | null;
    if (read?.version === 1 && typeof read.files === 'object' && read.files !== null)
      return { version: 1, files: read.files };
  } catch {
    // not there yet, or broken: then nothing is allowed
  }
  return { version: 1, files: {} };
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file; // gone in the meantime: the name is all there is
  }
}
