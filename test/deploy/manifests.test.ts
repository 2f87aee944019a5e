// The manifests of deploy/ and the Dockerfile agree with each other, with the API of Kubernetes and with what we read of a config.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments, parse } from 'yaml';
import { checkConfig, loadConfig } from '../../src/config/load.ts';
import { parseDuration } from '../../src/model/duration.ts';
import { createHome } from '../config/home.ts';
import { defaultValues, renderChart } from '../helpers/chart.ts';
import { execForm, readDockerfile, repository } from '../helpers/dockerfile.ts';
import { files, importsOf, src } from '../helpers/house.ts';
import { fieldFaults } from '../helpers/kubernetes-fields.ts';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: object;
  readonly [probe: `${string}Probe`]: {
    readonly httpGet: { readonly path: string; readonly port: string };
  };
}

interface Pod {
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext: { readonly fsGroup: number; readonly runAsGroup: number };
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly configMap?: { readonly name: string };
    readonly secret?: { readonly defaultMode: number };
  }[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
  readonly spec: {
    readonly selector: object;
    readonly podSelector: { readonly matchLabels: object };
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: Pod };
    readonly ports: readonly { readonly targetPort: string }[];
    readonly ingress: readonly { readonly ports: readonly { readonly port: string }[] }[];
  };
}

const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
const manifestsIn = (text: string): Manifest[] =>
  parseAllDocuments(text).flatMap((document) => {
    expect(document.errors).toEqual([]);
    return document.contents === null ? [] : [document.toJS() as Manifest];
  });

const kustomization = parse(read('deploy/kubernetes/kustomization.yaml')) as {
  readonly resources: readonly string[];
  readonly images: readonly { readonly name: string; readonly newName: string; readonly newTag: string }[];
};
const plain = kustomization.resources.flatMap((file) => manifestsIn(read(`deploy/kubernetes/${file}`)));
const sidecar = manifestsIn(read('deploy/kubernetes/sidecar.yaml'));
const chart = (release: string, values = defaultValues()): Manifest[] =>
  renderChart(release, values).flatMap((text) => (text.startsWith('Is it up') ? [] : manifestsIn(text)));
/** Another name, two tunnels, no policy. */
const other = (): Manifest[] => {
  const values = defaultValues();
  values['config'] =
    `${String(values['config'])}  cache: { host: bastion, local: '0.0.0.0:6379', remote: 'cache:6379' }\n`;
  (values['ports'] as object[]).push({ name: 'cache', port: 6379 });
  (values['networkPolicy'] as Record<string, unknown>)['enabled'] = false;
  return chart('other', values);
};
const image = readDockerfile().at(-1);

describe.each([
  ['the kustomization', plain],
  ['the sidecar', sidecar],
  ['the chart', chart('tunnel')],
  ['the chart by another name and with other values', other()],
])('%s', (_, manifests) => {
  const one = (kind: string): Manifest | undefined => manifests.find((manifest) => manifest.kind === kind);
  const { labels } = one('Deployment')!.spec.template.metadata;
  const pod = one('Deployment')!.spec.template.spec;
  const containers = [...(pod.initContainers ?? []), ...pod.containers];
  const own = containers.find(({ name }) => name === 'tunnel')!;
  const configMap = one('ConfigMap')!;
  const mountOf = (volume: string): string =>
    own.volumeMounts.find(({ name }) => name === volume)?.mountPath ?? 'not mounted';
  const mountOfKind = (kind: 'configMap' | 'secret' | 'emptyDir'): string =>
    mountOf(pod.volumes.find((volume) => kind in volume)?.name ?? '');

  test('has no field but those of the API, each of its type', () => {
    expect(manifests.flatMap((manifest) => fieldFaults(manifest, manifest.kind))).toEqual([]);
  });

  test('selects its own Pods', () => {
    const selectors = [
      (one('Deployment')!.spec.selector as { matchLabels: object }).matchLabels,
      one('Service')?.spec.selector ?? {},
      one('NetworkPolicy')?.spec.podSelector.matchLabels ?? {},
    ];
    for (const selector of selectors) expect(labels).toMatchObject(selector);
  });

  test('names ports that its container has', () => {
    const probes = Object.entries(own).filter(([key]) => key.endsWith('Probe')) as [
      string,
      Container['aProbe'],
    ][];
    expect(probes.map(([key, { httpGet }]) => [key, httpGet.path])).toEqual(
      expect.arrayContaining([
        ['livenessProbe', '/healthz'],
        [expect.stringMatching(/^(startup|readiness)Probe$/), '/readyz'],
      ]),
    );
    const named = [
      ...probes.map(([, { httpGet }]) => httpGet.port),
      ...(one('Service')?.spec.ports ?? []).map(({ targetPort }) => targetPort),
      ...(one('NetworkPolicy')?.spec.ingress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port)),
    ];
    const ports = own.ports.map(({ name }) => name);
    expect(named.filter((name) => !ports.includes(name))).toEqual([]);
  });

  test('mounts what there is, where the image and the config look for it', () => {
    const volumes = pod.volumes.map(({ name }) => name);
    expect(own.volumeMounts.map(({ name }) => name).toSorted()).toEqual(volumes.toSorted());
    expect(pod.volumes.flatMap((volume) => volume.configMap?.name ?? [])).toEqual([configMap.metadata.name]);
    expect(join(mountOfKind('configMap'), 'tunnels.yaml')).toBe(image?.env['TUNNEL_CONFIG']);
    expect(Object.keys(configMap.data)).toContain('tunnels.yaml');
    expect(image?.env['TUNNEL_HOME']).toBe(join(mountOfKind('emptyDir'), 'tunnel'));
    expect(pod.volumes.find(({ secret }) => secret !== undefined)?.secret?.defaultMode).toBe(0o440);
    expect(pod.securityContext.fsGroup).toBe(pod.securityContext.runAsGroup);
  });

  test('has a config without fault, whose ports, keys and known_hosts are in the Pod', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', configMap.data['tunnels.yaml'] ?? '');
    const { issues } = await checkConfig(file, home.account);
    expect(issues).toEqual([]);
    const { metrics, tunnels } = await loadConfig(file, home.account);
    expect(metrics?.host, 'the kubelet comes from outside').toBe('0.0.0.0');
    const beyond = tunnels.flatMap(({ forwards }) =>
      forwards.flatMap(({ listen }) =>
        listen.kind === 'tcp' && listen.host === '0.0.0.0' ? [listen.port] : [],
      ),
    );
    const ports = own.ports.map(({ containerPort }) => containerPort);
    expect(ports).toEqual([metrics?.port, ...beyond]);
    for (const host of tunnels.flatMap(({ ways }) => ways.flat())) {
      expect(host.identities.map((path) => join(path, '..'))).toEqual([mountOfKind('secret')]);
      const known = host.knownHosts.filter((path) => path.startsWith(mountOfKind('configMap')));
      expect(known.map((path) => path.slice(mountOfKind('configMap').length + 1))).toEqual(['known_hosts']);
      expect(Object.keys(configMap.data)).toContain('known_hosts');
    }
  });

  test('runs as nobody in particular, and can become nothing else', () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(own.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  test('gives connections less time to end than the Pod has', () => {
    const drain = own.args[own.args.indexOf('--drain') + 1] ?? '0s';
    const graceMs = (pod.terminationGracePeriodSeconds ?? 30) * 1000;
    if (own.args.includes('--drain')) expect(parseDuration(drain)).toBeLessThan(graceMs);
    expect(own.args.slice(0, 2)).toEqual(['up', '--foreground']);
  });
});

test('a field that is wrong, unknown or missing is told', () => {
  const manifest = { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ name: 1 }], selectors: {} } };
  expect(fieldFaults(manifest, 'Service')).toEqual([
    'Service.spec.ports[0].port: is missing',
    'Service.spec.ports[0].name: must be string',
    'Service.spec.selectors: no such field',
  ]);
});

test('the kustomization has every manifest but the example of a sidecar', () => {
  const files = readdirSync(join(repository, 'deploy/kubernetes'));
  expect(files.toSorted()).toEqual(
    ['kustomization.yaml', 'sidecar.yaml', ...kustomization.resources].toSorted(),
  );
});

test('the chart as it stands is the kustomization', () => {
  const [named] = kustomization.images;
  const sorted = (manifests: readonly Manifest[]): Manifest[] =>
    manifests.toSorted((a, b) => a.kind.localeCompare(b.kind));
  const asNamed = JSON.parse(
    JSON.stringify(plain).replaceAll(
      `"image":"${named?.name}"`,
      `"image":"${named?.newName}:${named?.newTag}"`,
    ),
  ) as Manifest[];
  expect(sorted(chart('tunnel'))).toEqual(sorted(asNamed));
});

test('the version is that of the package everywhere', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const { appVersion } = parse(read('deploy/helm/tunnel/Chart.yaml')) as { appVersion: string };
  const tags = [...sidecar, ...chart('tunnel')].flatMap(
    (manifest) => JSON.stringify(manifest).match(/tunnelkeeper:[^"]+/g) ?? [],
  );
  expect([appVersion, kustomization.images[0]?.newTag]).toEqual([version, version]);
  expect(new Set(tags)).toEqual(new Set([`tunnelkeeper:${version}`]));
});

describe('the Dockerfile', () => {
  const [build] = readDockerfile();

  test('copies what is there and .dockerignore lets through', () => {
    const through = read('.dockerignore').match(/(?<=^!).+$/gm) ?? [];
    const sources =
      build?.copies.flatMap((copy) => copy.sources.map((source) => source.replace('./', ''))) ?? [];
    expect(sources.filter((source) => !existsSync(join(repository, source)))).toEqual([]);
    expect(through.toSorted()).toEqual(sources.toSorted());
    const imported = files.flatMap((file) =>
      importsOf(file)
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => relative(repository, resolve(src, file, '..', specifier))),
    );
    const isCopied = (path: string): boolean =>
      sources.some((source) => path === source || path.startsWith(`${source}/`));
    expect(imported.filter((path) => !isCopied(path))).toEqual([]);
  });

  test('ends as a user by number, the same as the manifests say', () => {
    expect(image?.last['USER']).toBe('10001:10001');
    expect(JSON.stringify(plain)).toContain('"runAsUser":10001,"runAsGroup":10001');
  });

  test('asks the supervisor whether its tunnels serve', () => {
    expect(execForm(image!, 'HEALTHCHECK')).toEqual(['tunnel', 'status', '--check']);
  });
});

describe('the compose file', () => {
  interface ComposeService {
    readonly build?: string;
    readonly volumes?: readonly string[];
    readonly tmpfs?: readonly string[];
    readonly command: readonly string[];
    readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  }
  const { services } = parse(read('deploy/compose.yaml')) as { services: Record<string, ComposeService> };
  const documented =
    'build image user read_only cap_drop security_opt tmpfs volumes restart stop_grace_period command depends_on'.split(
      ' ',
    );

  test('has no key but those of the Compose specification, and mounts what the image looks for', () => {
    const keys = Object.values(services).flatMap((service) => Object.keys(service));
    expect(keys.filter((key) => !documented.includes(key))).toEqual([]);
    const { tunnel, client } = services;
    expect(existsSync(join(repository, 'deploy', tunnel?.build ?? '', 'Dockerfile'))).toBe(true);
    const mounts = tunnel?.volumes?.map((volume) => volume.split(':').slice(1).join(':'));
    expect(mounts).toEqual(['/etc/tunnel:ro', '/keys:ro']);
    expect(tunnel?.tmpfs).toEqual(['/state:mode=1777']);
    expect(client?.depends_on).toEqual({ tunnel: { condition: 'service_healthy' } });
  });
});
