// Holds the house in shape (DESIGN 3-5): floors, no circles, doors, first lines, sizes.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const src = resolve(import.meta.dirname, '../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort();

interface Import {
  readonly specifier: string;
  /** True when nothing of it exists at run time. */
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(
    /^(import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm,
  )) {
    found.push({ specifier: match[3] ?? '', typeOnly: match[2] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g))
    found.push({ specifier: match[1] ?? '', typeOnly: false });
  for (const match of text.matchAll(/\bgetBuiltinModule\(\s*['"]([^'"]+)['"]/g))
    found.push({ specifier: match[1] ?? '', typeOnly: false });
  for (const match of text.matchAll(/\brequire\(\s*['"]([^'"]+)['"]/g))
    found.push({ specifier: match[1] ?? '', typeOnly: false });
  return found;
}

const roomOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : file);
const targetOf = (file: string, specifier: string): string =>
  relative(src, resolve(src, dirname(file), specifier));

const low = ['errors.ts', 'paths.ts', 'sha256.ts'];
/** What each room may import; `types` of further rooms where only types may cross. */
const rooms: Record<string, { may: string[]; types?: string[] }> = {
  'errors.ts': { may: [] },
  'sha256.ts': { may: [] },
  'paths.ts': { may: ['errors.ts', 'sha256.ts'] },
  'library.ts': { may: [...low, 'model', 'daemon'] },
  model: { may: [...low, 'model'] },
  files: { may: [...low, 'model', 'files'] },
  keys: { may: [...low, 'model', 'keys'] },
  config: { may: [...low, 'model', 'files', 'keys', 'config'] },
  trust: { may: [...low, 'model', 'files', 'keys', 'trust'] },
  secrets: { may: [...low, 'model', 'files', 'secrets'] },
  control: { may: [...low, 'model', 'files', 'control'] },
  render: { may: [...low, 'model', 'render'] },
  ssh: { may: [...low, 'model', 'files', 'keys', 'trust', 'secrets', 'ssh'] },
  forward: { may: [...low, 'model', 'files', 'forward'] },
  supervisor: { may: [...low, 'model', 'supervisor'] },
  demo: { may: [...low, 'model', 'demo'] },
  daemon: {
    may: [
      ...low,
      'model',
      'files',
      'keys',
      'config',
      'trust',
      'secrets',
      'control',
      'ssh',
      'forward',
      'supervisor',
      'daemon',
    ],
  },
  cli: {
    may: [
      ...low,
      'model',
      'files',
      'keys',
      'config',
      'trust',
      'secrets',
      'control',
      'render',
      'daemon',
      'demo',
      'cli',
    ],
  },
};

/** Each outside thing has one door (DESIGN 5). */
const doors: [RegExp, RegExp][] = [
  [/^ssh2(\/|$)/, /^(ssh\/|demo\/ssh-server)/],
  [/^yaml$/, /^config\//],
  [/^yargs/, /^cli\//],
  [/^keytar$/, /^secrets\/keychain-child/],
  [/^zod/, /^(config\/schema|control\/)/],
  [/^node:net$/, /^(ssh\/transport|keys\/agent|forward\/|control\/|demo\/)/],
  [/^node:http$/, /^daemon\/metrics-http/],
  [/^node:child_process$/, /^files\/child/],
];

describe('the house', () => {
  test.each(files)('%s imports only downward and through its doors', (file) => {
    const room = rooms[roomOf(file)];
    expect(room, `${file} is in no known room`).toBeDefined();
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (specifier.startsWith('.')) {
        expect(specifier, 'relative imports end in .ts').toMatch(/\.ts$/);
        const target = roomOf(targetOf(file, specifier));
        const allowed = [...(room?.may ?? []), ...(typeOnly ? (room?.types ?? []) : [])];
        expect(allowed, `${file} imports ${specifier}`).toContain(target);
      }
      const door = doors.find(([thing]) => thing.test(specifier));
      if (door !== undefined && !typeOnly) expect(file, `${specifier} has one door`).toMatch(door[1]);
    }
  });

  test('has no import circles', () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !typeOnly)
          .map(({ specifier }) => targetOf(file, specifier)),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: string[]): void => {
      expect(path, `circle: ${[...path, file].join(' -> ')}`).not.toContain(file);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  test.each(files)('%s opens with its sentence and is not too long', (file) => {
    const text = readFileSync(join(src, file), 'utf8');
    expect(text.split('\n')[0]).toMatch(/^\/\/ \S.*[.:;]/);
    expect(text.split('\n').length, 'lines').toBeLessThanOrEqual(500);
    expect(['utils.ts', 'types.ts', 'constants.ts', 'helpers.ts']).not.toContain(basename(file));
    expect(text, 'no default export').not.toMatch(/^export default/m);
  });
});
