// tunnels.example.yaml: it loads, and shows every key that there is. The JSON Schema is of the same definition.
import { chmodSync, copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema, knownKeys } from '../../src/config/schema.ts';
import { createHome } from './home.ts';

const example = resolve(import.meta.dirname, '../../tunnels.example.yaml');

describe('tunnels.example.yaml', () => {
  test('loads without a warning but of what this version does nothing with', async () => {
    const home = createHome();
    for (const key of ['id_ed25519', 'id_ed25519-cert.pub']) home.write(`.ssh/${key}`, '');
    const file = join(home.folder, 'tunnels.yaml');
    copyFileSync(example, file);
    chmodSync(file, 0o600);
    const config = await loadConfig(file, home.account);
    expect(config.warnings).toEqual([]);
    expect(config.tunnels.map(({ name }) => name)).toContain('uppercase');
    expect(config.metrics).toEqual({ host: '127.0.0.1', port: 9464, page: true });
  });

  test.each([...new Set([...knownKeys.file, ...knownKeys.tunnel, ...knownKeys.forward])])(
    'shows %s',
    (key) => {
      expect(readFileSync(example, 'utf8')).toMatch(new RegExp(`(^|[\\s{])${key}:`, 'm'));
    },
  );
});

/** Names of algorithms and extensions end in a name too (RFC 4251 6): those of ssh's own. */
const names = /(?<!@)\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|edu|io|dev)\b(?!\.)/g;

const commandFiles = readdirSync(resolve(import.meta.dirname, '../../src/cli/commands')).map(
  (name) => `src/cli/commands/${name}`,
);

test.each(['README.md', 'tunnels.example.yaml', 'src/cli/command.ts', 'src/cli/help.ts', ...commandFiles])(
  'the examples of %s name no real host',
  (file) => {
    const text = readFileSync(resolve(import.meta.dirname, '../..', file), 'utf8');
    const real = (text.match(names) ?? []).filter((name) => !/(^|\.)example\.(com|org|net)$/.test(name));
    expect(real).toEqual([]);
  },
);

describe('the JSON Schema', () => {
  interface Schema {
    readonly properties?: Record<string, Schema>;
    readonly additionalProperties?: Schema | boolean;
    readonly items?: Schema;
    readonly anyOf?: readonly Schema[];
    readonly description?: string;
  }
  const schema = configSchema() as Schema;

  test('describes every key at its place', () => {
    expect(Object.keys(schema.properties ?? {})).toEqual(knownKeys.file);
    const tunnels = schema.properties?.['tunnels']?.additionalProperties as Schema;
    expect(Object.keys(tunnels.properties ?? {})).toEqual(knownKeys.tunnel);
    const hosts = schema.properties?.['hosts']?.additionalProperties as Schema;
    expect(Object.keys(hosts.properties ?? {})).toEqual(knownKeys.host);
    for (const [key, value] of Object.entries(tunnels.properties ?? {}))
      expect(value.description, key).toBeTruthy();
    const forward = tunnels.properties?.['forwards']?.items?.anyOf?.[1];
    expect(Object.keys(forward?.properties ?? {})).toEqual(knownKeys.forward);
  });

  test('knows every key of the example', () => {
    const check = (value: unknown, at: Schema | undefined, path: string): void => {
      if (typeof value !== 'object' || value === null || Array.isArray(value) || at?.properties === undefined)
        return;
      for (const [key, inside] of Object.entries(value)) {
        expect(at.properties, `${path}.${key}`).toHaveProperty(key);
        check(inside, at.properties[key], `${path}.${key}`);
      }
    };
    check(parse(readFileSync(example, 'utf8')), schema, '');
  });
});
