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

  test('is draft-07, of keywords that it has, and takes the example and refuses what is none', () => {
    expect(configSchema()).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#' });
    const text = readFileSync(example, 'utf8');
    expect(faultsIn(parse(text), schema as Draft07)).toEqual([]);
    const spoilt: unknown = parse(
      text.replace('port: 22', 'port: many').replace('notify: true', 'notify: often'),
    );
    expect(faultsIn(spoilt, schema as Draft07)).toEqual([
      '.hosts.katie.port: type integer',
      '.notify: type boolean',
    ]);
    expect(faultsIn({ tunnels: { db: { hots: 'a' } } }, schema as Draft07)).toEqual([
      '.tunnels.db.hots: unknown',
    ]);
  });
});

/** A schema with a keyword that the rules below do not know is a fault. */
type Draft07 = Readonly<Record<string, unknown>>;

interface Where {
  readonly path: string;
  readonly schema: Draft07;
}

function faultsIn(value: unknown, schema: Draft07, path = ''): string[] {
  return Object.entries(schema).flatMap(([keyword, asks]) => {
    const rule = rules[keyword];
    return rule === undefined ? [`${path}: the schema says ${keyword}`] : rule(value, asks, { path, schema });
  });
}

type Rule = (value: unknown, asks: unknown, where: Where) => string[];

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function typesOf(value: unknown): string[] {
  if (Array.isArray(value)) return ['array'];
  if (isMap(value)) return ['object'];
  return Number.isInteger(value) ? ['integer', 'number'] : [typeof value];
}

const faultIf = (wrong: boolean, { path }: Where, what: string): string[] =>
  wrong ? [`${path}: ${what}`] : [];
const nothing: Rule = () => [];

/** Draft-07, as far as our schema goes. */
const rules: Readonly<Record<string, Rule>> = {
  $schema: nothing,
  title: nothing,
  description: nothing,
  examples: nothing,
  type: (value, asks, where) =>
    faultIf(
      ![asks].flat().some((type) => typesOf(value).includes(String(type))),
      where,
      `type ${String(asks)}`,
    ),
  enum: (value, asks, where) => faultIf(!(asks as unknown[]).includes(value), where, 'enum'),
  const: (value, asks, where) => faultIf(value !== asks, where, 'const'),
  pattern: (value, asks, where) =>
    faultIf(typeof value === 'string' && !new RegExp(asks as string).test(value), where, 'pattern'),
  minimum: (value, asks, where) =>
    faultIf(typeof value === 'number' && value < Number(asks), where, 'minimum'),
  maximum: (value, asks, where) =>
    faultIf(typeof value === 'number' && value > Number(asks), where, 'maximum'),
  anyOf: (value, asks, where) =>
    faultIf(!(asks as Draft07[]).some((each) => faultsIn(value, each).length === 0), where, 'anyOf'),
  items: (value, asks, { path }) =>
    Array.isArray(value)
      ? value.flatMap((each, index) => faultsIn(each, asks as Draft07, `${path}.${index}`))
      : [],
  required: (value, asks, where) =>
    faultIf(isMap(value) && (asks as string[]).some((key) => !(key in value)), where, 'required'),
  properties: (value, asks, { path }) =>
    Object.entries(asks as Record<string, Draft07>).flatMap(([key, each]) =>
      isMap(value) && key in value ? faultsIn(value[key], each, `${path}.${key}`) : [],
    ),
  propertyNames: (value, asks, { path }) =>
    isMap(value) ? Object.keys(value).flatMap((key) => faultsIn(key, asks as Draft07, `${path}.${key}`)) : [],
  additionalProperties: (value, asks, { path, schema }) => {
    const known = Object.keys((schema['properties'] ?? {}) as object);
    const others = isMap(value) ? Object.entries(value).filter(([key]) => !known.includes(key)) : [];
    return others.flatMap(([key, each]) =>
      asks === false ? [`${path}.${key}: unknown`] : faultsIn(each, asks as Draft07, `${path}.${key}`),
    );
  },
};
