// The house as it is: which file imports which, and the floors and doors of DESIGN 3 and 5. For its test and its picture.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const src = resolve(import.meta.dirname, '../../src');
export const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort();

interface Import {
  readonly specifier: string;
  /** True when nothing of it exists at run time. */
  readonly typeOnly: boolean;
  /** `import()`: loaded only when it is reached. */
  readonly late: boolean;
}

export function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:([^'";]*?)\sfrom\s+)?['"]([^'"]+)['"]/gm,
  ))
    found.push({
      specifier: match[3] ?? '',
      typeOnly: match[1] !== undefined || namesOnlyTypes(match[2] ?? ''),
      late: false,
    });
  for (const match of text.matchAll(/\b(?:import|require)\(\s*['"]([^'"]+)['"]/g))
    found.push({ specifier: match[1] ?? '', typeOnly: false, late: true });
  return found;
}

/** `{ type A, type B }`: as good as `import type`. */
function namesOnlyTypes(clause: string): boolean {
  const names = /^\{(.*)\}$/s.exec(clause.trim())?.[1]?.split(',') ?? [];
  const written = names.map((name) => name.trim()).filter((name) => name !== '');
  return written.length > 0 && written.every((name) => name.startsWith('type '));
}

export const roomOf = (file: string): string => file.split('/')[0] ?? '';
export const folderOf = (file: string): string => (file.includes('/') ? dirname(file) : file);
const targetOf = (file: string, specifier: string): string =>
  relative(src, resolve(src, dirname(file), specifier));

const floor0 = ['errors.ts', 'paths.ts'];
const floor1 = [...floor0, 'model'];
const floor2 = [...floor1, 'files', 'keys'];
const floor3 = [...floor2, 'config', 'trust', 'secrets', 'control', 'render'];
const floor4 = [...floor3, 'ssh', 'forward'];

interface Room {
  /** Rooms and files that it may import, its own always. */
  readonly may: readonly string[];
  /** Of these only types. */
  readonly types?: readonly string[];
  /** Of these only by `import()`. */
  readonly late?: readonly string[];
}

/** What each room may import (DESIGN 3). */
export const rooms: Readonly<Record<string, Room>> = {
  'errors.ts': { may: [] },
  'sha256.ts': { may: [] },
  'paths.ts': { may: ['errors.ts', 'sha256.ts'] },
  model: { may: floor0 },
  files: { may: floor1 },
  keys: { may: floor1 },
  config: { may: floor2 },
  trust: { may: floor2 },
  secrets: { may: floor2 },
  control: { may: floor2 },
  import: { may: floor2 },
  render: { may: floor2 },
  ssh: { may: [...floor2, 'trust', 'secrets'] },
  forward: { may: floor2, types: ['ssh/session.ts'] },
  supervisor: { may: floor1, types: ['ssh', 'forward'] },
  client: { may: floor4 },
  daemon: {
    may: [
      ...floor2,
      'config',
      'trust',
      'secrets',
      'control',
      'render/error.ts',
      'ssh',
      'forward',
      'supervisor',
    ],
  },
  demo: { may: floor1 },
  page: { may: [...floor1, 'render/units.ts'] },
  'library.ts': { may: [...floor4, 'supervisor'] },
  cli: { may: [...floor3, 'import', 'client', 'demo'], late: ['daemon'] },
};

export function allowed(file: string, { specifier, typeOnly, late }: Import): boolean {
  const target = targetOf(file, specifier);
  const room = rooms[roomOf(file)] as Room;
  const may = [
    roomOf(file),
    ...room.may,
    ...(typeOnly ? (room.types ?? []) : []),
    ...(late ? (room.late ?? []) : []),
  ];
  return may.includes(target) || may.includes(roomOf(target));
}

/** Each outside thing has one door (DESIGN 5). */
export const doors: readonly (readonly [RegExp, RegExp])[] = [
  [/^ssh2\//, /^ssh\/ssh2\//],
  [/^ssh2$/, /^(ssh\/(ssh2\/|handshake)|demo\/ssh-server)/],
  [/^yaml$/, /^config\//],
  [/^smol-toml$/, /^import\/read/],
  [/^yargs/, /^cli\//],
  [/^keytar$/, /^secrets\/keychain-child/],
  [/^zod/, /^(config\/schema|control\/requests)/],
  [/^(pino|rotating-file-stream)$/, /^daemon\/log\.ts/],
  [/^chalk$/, /^render\/color/],
  [/^write-file-atomic$/, /^files\/atomic/],
  [/^(@noble\/.*|bcrypt-pbkdf)$/, /^(keys|ssh\/ssh2)\//],
  [/^node:net$/, /^(ssh\/transport\/|keys\/agent|forward\/sockets|control\/|demo\/)/],
  [/^node:http$/, /^daemon\/metrics-http/],
  [/^node:child_process$/, /^files\/child/],
];

export function circlesIn(edges: (file: string) => readonly string[]): string[][] {
  const done = new Set<string>();
  const found: string[][] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file]);
    if (path.includes(file) || done.has(file)) return;
    for (const next of edges(file)) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  return found;
}

export const ownImports = (file: string): readonly (Import & { readonly target: string })[] =>
  importsOf(file)
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map((each) => ({ ...each, target: targetOf(file, each.specifier) }));
