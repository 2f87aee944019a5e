// ssh_config as the supervisor reads it: in the environment of the command that brought each tunnel up, for as long as it is.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openConfigSource } from '../../src/daemon/config-source.ts';
import { lookAt } from '../../src/daemon/file-watch.ts';
import { systemClock } from '../../src/model/clock.ts';
import type { ResolvedConfig } from '../../src/model/tunnel.ts';
import type { UpParams } from '../../src/control/protocol.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { createDaemonWorld, plainUp, type DaemonWorld } from '../helpers/daemon-world.ts';
import { sshTakes } from '../helpers/installed-ssh.ts';

const yaml = `hosts: { gate: { hostname: 127.0.0.1, port: 9, password: "env:GATE_PASSWORD" } }
tunnels:
  a: { host: box, local: auto, remote: 22, autostart: false }
  b: { host: box, local: auto, remote: 23, autostart: false, tags: [second] }
`;

/** In each of these another key of ssh_config goes by the environment. Ports below 10 are nobody's. */
const sshConfig = `Match originalhost box exec "test x$SITE$GATE_PASSWORD = xnorth"
  Port 1
Match originalhost box exec "test x$SITE = xsouth"
  Port 2
Host box
  HostName 127.0.0.1
  Port 3
  IdentityAgent \${AGENTS}/agent
  IdentityFile \${KEYS}/id
  UserKnownHostsFile ~/.ssh/known
`;

async function worldOf(environment: Record<string, string>): Promise<DaemonWorld> {
  const world = await createDaemonWorld(yaml, environment);
  mkdirSync(join(world.home, '.ssh'), { mode: 0o700 });
  writeFileSync(join(world.home, '.ssh/config'), sshConfig, { mode: 0o600 });
  return world;
}

async function portsIn(world: DaemonWorld): Promise<readonly (string | undefined)[]> {
  const { tunnels } = (await world.status()) ?? { tunnels: [] };
  return tunnels.map(({ endpoint }) => endpoint.split(':').at(-1));
}

/** As a command in a terminal with these variables. */
const upIn = (world: DaemonWorld, more: Record<string, string>): Partial<UpParams> => ({
  timeoutMs: 1,
  environment: {
    variables: { ...(world.facts.env as Record<string, string>), ...more },
    agentSockets: [],
  },
});

// Without ${…} in IdentityAgent (before 8.4) there is nothing to ask.
describe.skipIf(!sshTakes('IdentityAgent=${HOME}/x'))('ssh_config in a supervisor', () => {
  test('is read in the environment of the command that starts it, without the variables that hold secrets', async () => {
    await using world = await worldOf({ SITE: 'north', AGENTS: '/run', KEYS: '/k', GATE_PASSWORD: 'geheim' });
    await world.up(['a'], upIn(world, {}));
    expect(await portsIn(world)).toEqual(['1', '1']);
  });

  test('of a tunnel that runs goes by the command that brought it up, also when the file changes or another comes up', async () => {
    await using world = await worldOf({ SITE: 'north', AGENTS: '/run', KEYS: '/k' });
    await world.up(['a'], upIn(world, {}));
    const client = await world.need();
    await client.call('up', { ...plainUp, selectors: ['tag:second'], ...upIn(world, { SITE: 'south' }) });
    expect(await portsIn(world)).toEqual(['1', '2']);
    world.write(yaml.replace('remote: 22,', 'remote: 25,'));
    await client.call('reload', { prune: false });
    expect(await portsIn(world)).toEqual(['1', '2']);
    await client.call('restart', { ...plainUp, selectors: ['a'], ...upIn(world, { SITE: 'nowhere' }) });
    expect(await portsIn(world)).toEqual(['3', '2']);
    await client.call('up', { ...plainUp, selectors: ['*'], ...upIn(world, {}) });
    expect(await portsIn(world)).toEqual(['1', '1']);
  });

  test('that cannot be read in the environment of a command leaves what runs as it is', async () => {
    await using world = await worldOf({ SITE: 'north', AGENTS: '/run', KEYS: '/k' });
    await world.up(['a'], upIn(world, {}));
    const client = await world.need();
    const bare = { variables: { PATH: process.env['PATH'] ?? '' }, agentSockets: [] };
    await expect(
      client.call('up', { ...plainUp, selectors: ['b'], environment: bare }),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('AGENTS') });
    await client.call('reload', { prune: false });
    expect(await portsIn(world)).toEqual(['1', '1']);
  });
});

describe('a config that is saved while it is read', () => {
  test('is read once more', async () => {
    const file = join(temporaryFolder('source'), 'tunnels.yaml');
    writeFileSync(file, 'first');
    const applied: (string | undefined)[] = [];
    let tell = (): void => undefined;
    const readAgain = new Promise<void>((resolve) => (tell = resolve));
    const source = openConfigSource({
      file,
      clock: systemClock,
      log: () => undefined,
      load() {
        const seen = lookAt([file]);
        const warnings = [readFileSync(file, 'utf8')];
        writeFileSync(file, 'second'); // as an editor does while ssh -G is waited for
        return { seen, config: Promise.resolve({ tunnels: [], warnings } as unknown as ResolvedConfig) };
      },
      apply({ warnings }) {
        applied.push(...warnings);
        if (applied.at(-1) === 'second') tell();
        return Promise.resolve([]);
      },
    });
    await source.reload(false);
    await readAgain;
    source.close();
    expect(applied).toEqual(['first', 'second']);
  });
});
