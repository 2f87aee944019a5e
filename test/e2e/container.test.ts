// Our image, laid out from the Dockerfile, as Docker and as Kubernetes run it: the manifests' own mounts, modes, users and probes.
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { repository } from '../helpers/dockerfile.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { layOutImage, type ContainerOptions, type Image } from '../helpers/image.ts';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { finished } from '../helpers/world.ts';

const possible = sshdMissing() === null && namespaceMissing() === null && process.getuid?.() === 0;

interface Pod {
  readonly securityContext: {
    readonly runAsUser: number;
    readonly runAsGroup: number;
    readonly fsGroup: number;
  };
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
    readonly livenessProbe: { readonly httpGet: { readonly path: string } };
    readonly readinessProbe: { readonly httpGet: { readonly path: string } };
  }[];
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly defaultMode: number } }[];
}

interface Config {
  metrics: string;
  readonly hosts: { readonly bastion: Record<string, unknown> };
  readonly tunnels: { readonly db: Record<string, unknown> };
}

const manifest = (name: string): unknown =>
  parse(readFileSync(join(repository, 'deploy/kubernetes', `${name}.yaml`), 'utf8'));
const pod = (manifest('deployment') as { spec: { template: { spec: Pod } } }).spec.template.spec;
const [container] = pod.containers;
const { data } = manifest('configmap') as { data: Record<string, string> };

/** The ConfigMap's config, led to a server and ports of the test. */
function configFor(sshd: Sshd, ports: { db: number; metrics: number }, remote: number): string {
  const config = parse(data['tunnels.yaml'] ?? '') as Config;
  config.metrics = `0.0.0.0:${ports.metrics}`;
  Object.assign(config.hosts.bastion, { hostname: '127.0.0.1', port: sshd.port, user: sshd.user });
  Object.assign(config.tunnels.db, { local: `0.0.0.0:${ports.db}`, remote: `127.0.0.1:${remote}` });
  return stringify(config);
}

/**
 * Files as the kubelet writes and rewrites them: in a folder of their own, behind a link that is swapped (AtomicWriter).
 * They belong to root, and with an fsGroup to it, which may read them.
 */
function writeVolume(
  folder: string,
  files: Readonly<Record<string, string>>,
  { mode, group }: { mode: number; group: number },
): void {
  const version = `..${process.hrtime.bigint()}`;
  mkdirSync(join(folder, version), { recursive: true, mode: 0o755 });
  for (const path of [folder, join(folder, version)]) {
    chownSync(path, 0, group);
    chmodSync(path, 0o2775);
  }
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, version, name);
    writeFileSync(path, text);
    chownSync(path, 0, group);
    chmodSync(path, mode | 0o440);
  }
  symlinkSync(version, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  for (const name of Object.keys(files)) {
    symlinkSync(join('..data', name), join(folder, `${name}.tmp`));
    renameSync(join(folder, `${name}.tmp`), join(folder, name));
  }
}

/** Starts the image; what it logged is shown where the test fails. */
function started(image: Image, options: ContainerOptions): ChildProcess {
  const child = image.start(options);
  let said = '';
  child.stderr?.on('data', (chunk) => (said += String(chunk)));
  onTestFailed(() => console.error(said));
  return child;
}

async function ended(child: ChildProcess): Promise<unknown> {
  const end = once(child, 'exit');
  child.kill('SIGTERM');
  return end;
}

const probed = async (port: number, path: string): Promise<{ code: number; text: string } | null> => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null);
  return answer && { code: answer.status, text: await answer.text() };
};
const patience = { timeout: 30_000, interval: 100 };

describe.runIf(possible)('the image', () => {
  let image: Image;
  beforeAll(() => void (image = layOutImage()));

  test('serves a Deployment: probes, a swapped ConfigMap, SIGTERM, and a restart', async () => {
    await using sshd = await startSshd();
    await using first = await startTarget(uppercase);
    await using second = await startTarget((socket) => socket.end('2'));
    const ports = { db: await freePort(), metrics: await freePort() };
    const { securityContext: ids, volumes } = pod;
    const folders = Object.fromEntries(volumes.map(({ name }) => [name, temporaryFolder(name)]));
    const { config = '', keys = '', state = '' } = folders;
    chownSync(state, 0, ids.fsGroup);
    chmodSync(state, 0o2777); // an emptyDir
    const mode = volumes.find(({ secret }) => secret !== undefined)?.secret?.defaultMode ?? 0;
    writeVolume(keys, { id_ed25519: readFileSync(sshd.identity, 'utf8') }, { mode, group: ids.fsGroup });
    const mapped = (remote: number, known: string): void =>
      writeVolume(
        config,
        { 'tunnels.yaml': configFor(sshd, ports, remote), known_hosts: known },
        { mode: 0o644, group: ids.fsGroup },
      );
    mapped(first.port, data['known_hosts'] ?? '');
    const mounts = container?.volumeMounts.map(({ name, mountPath }) => [mountPath, folders[name] ?? '']);
    const options: ContainerOptions = {
      user: ids.runAsUser,
      group: ids.runAsGroup,
      volumes: Object.fromEntries(mounts ?? []),
      args: container?.args ?? [],
    };
    const live = (): ReturnType<typeof probed> =>
      probed(ports.metrics, container?.livenessProbe.httpGet.path ?? '');
    const ready = (): ReturnType<typeof probed> =>
      probed(ports.metrics, container?.readinessProbe.httpGet.path ?? '');

    let child = started(image, options);
    try {
      await expect.poll(live, patience).toEqual({ code: 200, text: 'ok\n' });
      await expect.poll(ready, patience).toEqual({ code: 503, text: 'db needs-you\n' });
      mapped(first.port, sshd.knownHostsLine());
      await expect.poll(ready, patience).toEqual({ code: 200, text: 'ok\n' });
      expect(await request(ports.db, 'abc')).toEqual({ text: 'ABC', error: null });
      mapped(second.port, sshd.knownHostsLine());
      await expect.poll(async () => (await request(ports.db, 'abc')).text, patience).toBe('2');
      expect(await ended(child)).toEqual([0, null]);
      expect(await live()).toBeNull();
      child = started(image, options);
      await expect.poll(ready, patience).toMatchObject({ code: 200 });
      expect(await ended(child)).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('serves under any user, with a root that cannot be written, and knows its own health', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const ports = { db: await freePort(), metrics: await freePort() };
    const [config, keys, state] = [
      temporaryFolder('config'),
      temporaryFolder('keys'),
      temporaryFolder('state'),
    ];
    chmodSync(state, 0o1777);
    const user = 54_321;
    writeFileSync(join(config, 'tunnels.yaml'), configFor(sshd, ports, target.port));
    writeFileSync(join(config, 'known_hosts'), `${sshd.knownHostsLine()}\n`);
    writeFileSync(join(keys, 'id_ed25519'), readFileSync(sshd.identity), { mode: 0o400 });
    chownSync(join(keys, 'id_ed25519'), user, user);
    for (const path of [config, keys]) chmodSync(path, 0o755);
    const options = { user, group: user, volumes: { '/etc/tunnel': config, '/keys': keys, '/state': state } };
    const healthy = async (): Promise<number | null> =>
      (await finished(image.run(image.health, options))).code;

    expect(await healthy(), 'before it starts').toBe(9);
    const child = started(image, options);
    try {
      await expect.poll(async () => (await probed(ports.metrics, '/readyz'))?.code, patience).toBe(200);
      expect(await request(ports.db, 'abc')).toEqual({ text: 'ABC', error: null });
      expect(await healthy()).toBe(0);
      const touched = await finished(image.run(['touch', '/app/dist/x'], { ...options, user: 0, group: 0 }));
      expect(touched.stderr).toContain('Read-only file system');
      expect(await ended(child)).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
