// The package inside a single-file executable: files below the executable's own path, where no disk can have any. The few functions of
// Node by which the program asks for a file of its own know them from here on.
import fs from 'node:fs';
import Module, { isBuiltin } from 'node:module';
import { basename, dirname, isAbsolute, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileFunction } from 'node:vm';

/** The bytes of a file by its path in the package; null where there is none. They must not be written to. */
export type Read = (name: string) => Buffer | null;

/** Loads one of them as CommonJS, whatever its extension. */
export type Load = (name: string) => unknown;

/** Has a file of machine code loaded, of which there are but the bytes and the name. */
export type LoadNative = (bytes: Buffer, name: string, dlopen: (file: string) => void) => void;

/** As it is called (@types/node has two of its three arguments). */
type Dlopen = (module: object, path: string, ...flags: number[]) => void;

interface Own {
  readonly root: string;
  readonly read: Read;
  readonly builtIn: NodeJS.Require;
  readonly cache: Record<string, NodeModule | undefined>;
}

/** `root`: the path that they stand below. */
export function openArchive(root: string, read: Read, loadNative: LoadNative): Load {
  const own: Own = { root, read, builtIn: Module.createRequire(root), cache: {} };
  const bytesAt = (path: unknown): Buffer | null =>
    typeof path === 'string' || path instanceof URL ? bytesOf(own, path) : null;

  const { readFileSync } = fs;
  fs.readFileSync = ((...words: Parameters<typeof readFileSync>) => {
    const bytes = bytesAt(words[0]);
    if (bytes === null) return readFileSync(...words);
    const encoding = typeof words[1] === 'string' ? words[1] : words[1]?.encoding;
    return encoding == null ? Buffer.from(bytes) : bytes.toString(encoding);
  }) as typeof readFileSync;

  const { createRequire } = Module;
  Module.createRequire = (from) =>
    isInside(own, from) ? requireFrom(own, pathOf(from)) : createRequire(from);

  const dlopen = process.dlopen.bind(process) as Dlopen;
  process.dlopen = ((module, path, ...flags) => {
    const bytes = bytesAt(path);
    const loadFrom = (file: string): void => dlopen(module, file, ...flags);
    if (bytes === null) loadFrom(path);
    else loadNative(bytes, basename(path), loadFrom);
  }) satisfies Dlopen as typeof process.dlopen;
  return (name) => load(own, join(root, name));
}

const pathOf = (at: string | URL): string =>
  at instanceof URL || at.startsWith('file:') ? fileURLToPath(at) : at;

const isInside = ({ root }: Own, at: string | URL): boolean => pathOf(at).startsWith(root + sep);

function bytesOf(own: Own, at: string | URL): Buffer | null {
  if (at instanceof URL && at.protocol !== 'file:') return null;
  return isInside(own, at) ? own.read(pathOf(at).slice(own.root.length + 1)) : null;
}

function requireFrom(own: Own, from: string): NodeJS.Require {
  const resolve = (request: string): string =>
    isBuiltin(request) ? request : resolvePath(own, from, request);
  const require = (request: string): unknown =>
    isBuiltin(request) ? own.builtIn(request) : load(own, resolvePath(own, from, request));
  return Object.assign(require, { resolve, cache: own.cache }) as NodeJS.Require;
}

/** As Node does it for packages that have no `exports`, all of them in one node_modules. Throws MODULE_NOT_FOUND. */
function resolvePath(own: Own, from: string, request: string): string {
  const path = isAbsolute(request)
    ? request
    : request.startsWith('.')
      ? join(dirname(from), request)
      : join(own.root, 'node_modules', request);
  const described = bytesOf(own, join(path, 'package.json'));
  const main = described === null ? null : (JSON.parse(described.toString('utf8')) as { main?: string }).main;
  const places = [path, ...(main == null ? [] : [join(path, main)])];
  const files = places.flatMap((each) => [each, `${each}.js`, `${each}.json`, join(each, 'index.js')]);
  const found = files.find((file) => bytesOf(own, file) !== null);
  if (found !== undefined) return found;
  const message = `Cannot find module '${request}', asked for by ${from}`;
  throw Object.assign(new Error(message), { code: 'MODULE_NOT_FOUND' });
}

const wrapper = ['exports', 'require', 'module', '__filename', '__dirname'];

function load(own: Own, path: string): unknown {
  const known = own.cache[path];
  if (known !== undefined) return known.exports;
  const bytes = bytesOf(own, path);
  if (bytes === null) throw new Error(`there is no ${path}`);
  const module = new Module(path) as NodeModule;
  module.filename = path;
  own.cache[path] = module;
  try {
    if (path.endsWith('.node')) process.dlopen(module, path);
    else if (path.endsWith('.json')) module.exports = JSON.parse(bytes.toString('utf8'));
    else run(own, module, bytes.toString('utf8'));
  } catch (thrown) {
    delete own.cache[path];
    throw thrown;
  }
  module.loaded = true;
  return module.exports;
}

function run(own: Own, module: NodeModule, text: string): void {
  const { filename, exports } = module;
  const call = compileFunction(text, wrapper, { filename }) as (...words: unknown[]) => void;
  call.call(exports, exports, requireFrom(own, filename), module, filename, dirname(filename));
}
