// Hooks: which command runs when, with what, and how it ends. The commands are real programs; the tunnel is made of facts.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createHooks, type HookParts, type Hooks } from '../../src/daemon/hooks.ts';
import type { TunnelState } from '../../src/model/status.ts';
import type { Hooks as Commands } from '../../src/model/tunnel.ts';
import { isRunning } from '../helpers/daemon-world.ts';
import { hostOf, local, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { tunnelStatus } from '../helpers/tunnel-status.ts';

interface Scene {
  readonly hooks: Hooks;
  readonly folder: string;
  readonly logged: string[];
  /** The tunnel comes from one state to the next. */
  readonly go: (...states: TunnelState[]) => void;
  /** What a command wrote into a file of the folder. */
  readonly read: (name: string) => string;
}

/** A command is started beside everything else. */
const soon = { timeout: 20_000 };

/** A tunnel `db` with these commands, or scripts, to which `$1` is the folder. */
function sceneOf(
  hooksOfIt: Readonly<Partial<Record<keyof Commands, string | readonly string[]>>>,
  more: Partial<HookParts> = {},
): Scene {
  const folder = temporaryFolder('hooks');
  const commands = Object.fromEntries(
    Object.entries(hooksOfIt).map(([state, command]) => [
      state,
      typeof command === 'string' ? ['/bin/sh', '-c', command, 'sh', folder] : command,
    ]),
  );
  const tunnel = tunnelOf('db', [hostOf('katie')], local(0), { hooks: commands });
  const status = tunnelStatus('db', { forwards: tunnelStatus('db').forwards.slice(0, 1) });
  const variables = { PATH: process.env['PATH'] ?? '', SEEN: 'by hooks', SOCKS_PASSWORD: 'not for hooks' };
  const logged: string[] = [];
  let state: TunnelState = 'down';
  const hooks = createHooks({
    engine: {
      examine: () => ({
        tunnel,
        session: null,
        attempt: null,
        last: null,
        environment: { variables: state === 'down' ? {} : variables, agentSockets: [] },
      }),
      status: () => [
        { ...status, forwards: status.forwards.map((each) => ({ ...each, bound: state !== 'down' })) },
      ],
    },
    log: (level, _event, message) => void logged.push(`${level} ${message}`),
    withheld: () => new Set(['SOCKS_PASSWORD']),
    ...more,
  });
  return {
    hooks,
    folder,
    logged,
    go(...states) {
      for (const to of states) {
        const from = state;
        state = to;
        const message = to === 'needs-you' ? `\u001b[31mno key\u001b[0m\n${'ä'.repeat(600)}` : null;
        hooks.changed({ atMs: 0, tunnel: 'db', from, to, code: null, message });
      }
    },
    read: (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : ''),
  };
}

test('a hook runs in / with the variables of its tunnel, and without those that hold secrets', async () => {
  const script = 'pwd > "$1/at"; env > "$1/new" && mv "$1/new" "$1/$TUNNEL_STATE"';
  const { go, read, hooks } = sceneOf({ up: script, 'needs-you': script, down: script });
  go('connecting', 'needs-you');
  await expect.poll(() => read('needs-you'), soon).toContain('SEEN=by hooks\n');
  expect(read('needs-you')).toContain(
    `TUNNEL_REASON=no key ${'ä'.repeat(493)}\n`, // 500 characters
  );
  go('up');
  await expect.poll(() => read('up'), soon).not.toBe('');
  go('stopping', 'down');
  await expect.poll(() => read('down'), soon).not.toBe('');
  const up = read('up').split('\n');
  expect(up).toEqual(
    expect.arrayContaining([
      'TUNNEL_NAME=db',
      'TUNNEL_STATE=up',
      'TUNNEL_PREVIOUS=needs-you',
      'TUNNEL_REASON=',
      'TUNNEL_ADDRESS=127.0.0.1:1',
      'TUNNEL_HOST=127.0.0.1',
      'TUNNEL_PORT=1',
    ]),
  );
  expect(read('up') + read('down')).not.toContain('SOCKS_PASSWORD');
  expect(read('at')).toBe('/\n');
  const down = read('down').split('\n');
  expect(down, 'where it was reached, and who brought it up, is remembered').toEqual(
    expect.arrayContaining([
      'TUNNEL_STATE=down',
      'TUNNEL_PREVIOUS=stopping',
      'TUNNEL_PORT=1',
      'SEEN=by hooks',
    ]),
  );
  await hooks.close();
});

/** Writes its state, and waits until there is a file of that name. */
const held =
  'echo "$TUNNEL_STATE" >> "$1/ran"; while [ ! -e "$1/go-$TUNNEL_STATE" ]; do sleep 0.02; done; echo over >> "$1/ran"';

test('hooks of a tunnel run one at a time, and of those that wait only that of the newest state', async () => {
  const { go, read, hooks, folder } = sceneOf({ up: held, 'needs-you': held, down: held });
  go('connecting', 'up', 'needs-you', 'up', 'stopping', 'down');
  await expect.poll(() => read('ran'), soon).toBe('up\n');
  writeFileSync(join(folder, 'go-down'), '');
  writeFileSync(join(folder, 'go-up'), '');
  await expect.poll(() => read('ran'), soon).toBe('up\nover\ndown\nover\n');
  await hooks.close();
  expect(read('ran')).toBe('up\nover\ndown\nover\n');
});

test('a person is told once of what a tunnel needs, however often it is looked at again', async () => {
  const { go, read, hooks } = sceneOf({ 'needs-you': 'echo "$TUNNEL_STATE" >> "$1/ran"' });
  go('connecting', 'needs-you');
  await expect.poll(() => read('ran'), soon).toBe('needs-you\n');
  go('connecting', 'needs-you', 'connecting');
  await hooks.close();
  expect(read('ran')).toBe('needs-you\n');
  go('up', 'connecting', 'needs-you');
  await hooks.close();
  expect(read('ran')).toBe('needs-you\nneeds-you\n');
});

test('a hook that waits is not run once the tunnel is in a state without one', async () => {
  const { go, read, hooks, folder } = sceneOf({ down: held });
  go('connecting', 'stopping', 'down');
  await expect.poll(() => read('ran'), soon).toBe('down\n');
  go('connecting', 'stopping', 'down', 'connecting', 'up');
  writeFileSync(join(folder, 'go-down'), '');
  await hooks.close();
  expect(read('ran')).toBe('down\nover\n');
});

test('a hook that fails is a line in the log, which names its program and no argument', async () => {
  const { go, logged, hooks } = sceneOf({ up: 'echo; echo much; echo "no $2 here" >&2; exit 3' });
  go('connecting', 'up');
  await hooks.close();
  expect(logged).toEqual(['warn the up hook of db failed, on /bin/sh: it ended with 3: no here']);
  const missing = sceneOf({ up: ['/nowhere/notify', 'secret'] });
  missing.go('connecting', 'up');
  await missing.hooks.close();
  expect(missing.logged).toEqual([
    'warn the up hook of db failed, on /nowhere/notify: there is no such program',
  ]);
});

test('a hook that prints without end is not ended for it', async () => {
  const { go, read, logged, hooks } = sceneOf({ up: 'head -c 3000000 /dev/zero; echo over > "$1/ran"' });
  go('connecting', 'up');
  await expect.poll(() => read('ran'), soon).toBe('over\n');
  await hooks.close();
  expect(logged).toEqual(['debug the up hook of db ran']);
});

/** Starts a program of its own, and tells both. */
const endless = 'sleep 600 & echo $! $$ > "$1/new" && mv "$1/new" "$1/pids"; wait';
const pidsIn = (text: string): number[] => text.trim().split(' ').map(Number);

test('a hook that takes too long is ended with all that it started', async () => {
  const { go, read, logged } = sceneOf({ up: endless }, { limitMs: 1000 });
  go('connecting', 'up');
  await expect
    .poll(() => logged.join(), soon)
    .toContain('the up hook of db failed, on /bin/sh: it took longer than');
  const pids = pidsIn(read('pids'));
  expect(pids).toHaveLength(2);
  await expect.poll(() => pids.filter(isRunning), soon).toEqual([]);
});

test('at the end a hook of an older state makes room for that of down, which is ended at its limit', async () => {
  const { go, read, logged, hooks } = sceneOf({ up: endless, down: 'echo "$TUNNEL_STATE" > "$1/ran"' });
  go('connecting', 'up');
  await expect.poll(() => read('pids'), soon).not.toBe('');
  go('stopping', 'down');
  await hooks.close();
  expect(read('ran')).toBe('down\n');
  expect(logged[0]).toBe('warn the up hook of db failed, on /bin/sh: it was ended with the supervisor');
  const slow = sceneOf({ down: endless }, { endLimitMs: 300 });
  slow.go('connecting', 'stopping', 'down');
  await expect.poll(() => slow.read('pids'), soon).not.toBe('');
  await slow.hooks.close();
  expect(slow.logged).toEqual([
    'warn the down hook of db failed, on /bin/sh: it was ended with the supervisor',
  ]);
  await expect.poll(() => pidsIn(slow.read('pids')).filter(isRunning)).toEqual([]);
});
