// A real Secret Service in a temp folder: a D-Bus session bus of its own, and gnome-keyring on it, locked or not.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { createKeychain, type Keychain } from '../../src/secrets/keychain.ts';
import type { TunnelError } from '../../src/errors.ts';
import { temporaryFolder } from '../helpers/folder.ts';

/** Null when tests may run; else why they are skipped. REQUIRE_SSHD=1, the full run, turns that into a failure. */
export function keyringMissing(): string | null {
  const absent = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (absent.length === 0) return null;
  const why = `not on this machine: ${absent.join(', ')}`;
  if (process.env['REQUIRE_SSHD'] === '1') throw new Error(`REQUIRE_SSHD=1, but ${why}`);
  console.warn(`keychain tests skipped, ${why}`);
  return why;
}

/** Program and arguments of the child, built from source once a test file: started from TypeScript it takes a second. */
export const childArgv: readonly [string, ...string[]] = [process.execPath, await buildChild()];

async function buildChild(): Promise<string> {
  const keytar = join(import.meta.dirname, '../../node_modules/keytar/lib/keytar.js');
  const outfile = join(temporaryFolder('child'), 'main.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'keychain-main.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    alias: { keytar },
    external: [keytar],
  });
  return outfile;
}

export interface Desktop extends AsyncDisposable {
  /** HOME, XDG_RUNTIME_DIR and the address of the bus. */
  readonly environment: Record<string, string>;
  keychain(timeoutMs?: number): Keychain;
  /** Starts gnome-keyring: `unlock` with an empty password, which makes the login keyring when there is none. */
  startKeyring(how: 'unlock' | 'locked'): Promise<void>;
  stopKeyring(): Promise<void>;
  /** The daemon, to be stopped in its tracks. */
  keyringPid(): number;
}

/** A bus without service files: nothing starts by itself, no prompt opens on the desktop of whoever runs the tests. */
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`;

export async function startDesktop(): Promise<Desktop> {
  const home = temporaryFolder('desktop');
  const runtime = join(home, 'run');
  mkdirSync(runtime, { mode: 0o700 });
  const config = join(home, 'bus.conf');
  writeFileSync(config, busConfig);
  const bus = spawn('dbus-daemon', [`--config-file=${config}`, '--nofork', '--print-address'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [address] = (await once(createInterface(bus.stdout), 'line')) as [string];
  const environment = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    XDG_RUNTIME_DIR: runtime,
    DBUS_SESSION_BUS_ADDRESS: address,
  };
  let keyring: ChildProcess | null = null;
  const keychain = (timeoutMs = 20_000): Keychain =>
    createKeychain({ spawnArgv: childArgv, timeoutMs, environment });
  const stopKeyring = async (): Promise<void> => {
    await end(keyring);
    keyring = null;
  };
  return {
    environment,
    keychain,
    stopKeyring,
    keyringPid: () => keyring?.pid ?? 0,
    async startKeyring(how) {
      const unlock = how === 'unlock' ? ['--unlock'] : [];
      keyring = spawn('gnome-keyring-daemon', ['--foreground', ...unlock, '--components=secrets'], {
        env: environment,
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      keyring.stdin?.end('\n');
      // It is there once the bus knows its name: ask until the answer is another than "no provider".
      for (;;) {
        const error = await keychain()
          .get('not-there:password')
          .then(
            () => null,
            (thrown: unknown) => thrown as TunnelError,
          );
        if (error === null || error.facts.keychain !== 'no-provider') break;
      }
    },
    async [Symbol.asyncDispose]() {
      await stopKeyring();
      await end(bus);
    },
  };
}

async function end(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
