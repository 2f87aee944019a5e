// Where the program starts: runs the small bundle from the code that V8 made of it the last time, where there is such, else as Node
// would. V8 believes a cache unseen: it looks neither at the bundle (but its length) nor for damage, so both are done here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { readCacheFile, writeCacheFile } from '../files/cache-file.ts';
import { processFacts } from '../files/process-facts.ts';
import { placesOf, type PlaceFacts } from '../paths.ts';

/** As Node wraps a CommonJS module; `import_` stands for `import()`, which code out of a cache cannot do by itself (build.mjs). */
const before = '(function (exports, require, module, __filename, __dirname, import_) { ';
const behind = '\n})';

/** Commands with a cache of their own: it holds the functions that ran, and these must be quick. Hidden children have none. */
const kinds = ['status', '__complete', '--help', '--version'];

const limitBytes = 8 * 1024 * 1024;

const filename = join(__dirname, 'cli.cjs');
const own = { exports: {} };
const words = [own.exports, require, own, filename, __dirname, (room: string) => import(room)];
(programOf(process.argv[2]).runInThisContext() as (...words: unknown[]) => void).apply(own.exports, words);

function programOf(word: string | undefined): Script {
  const source = readFileSync(filename);
  const kind = kindOf(word);
  const facts = kind === null ? null : factsOfUser();
  if (facts === null) return compiled(source);
  const name = `code-${process.versions.v8}-${process.arch}-${kind}`;
  return fromCache(source, join(placesOf(facts).cacheDir, name), facts);
}

/** Null: a child of ours, or a run whose coverage is counted, in which each function must be compiled anew. */
function kindOf(word = '--help'): string | null {
  if (process.env['NODE_V8_COVERAGE'] || word === '__supervise' || word === '__keychain') return null;
  return kinds.includes(word) ? word.replace(/^[-_]+/, '') : 'other';
}

function fromCache(source: Buffer, file: string, owner: PlaceFacts): Script {
  // What must be the same: V8 looks at its own flags, but would be asked in vain each time.
  const { execArgv, env } = process;
  const madeOf = JSON.stringify([filename, process.version, execArgv, env['NODE_OPTIONS']]);
  const head = Buffer.concat([Buffer.from(`${madeOf}\n`), source]);
  const kept = readCacheFile(file, owner, limitBytes);
  const code = kept === null ? undefined : codeIn(kept, head);
  const script = compiled(source, code);
  if (code === undefined || script.cachedDataRejected === true)
    process.once('exit', () => {
      // At the end by force: another write might hang as well.
      if (process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))) return;
      const fresh = script.createCachedData();
      writeCacheFile(file, [head, fresh, fresh], owner);
    });
  return script;
}

function compiled(source: Buffer, cachedData?: Buffer): Script {
  const text = `${before}${source.toString('utf8')}${behind}`;
  return new Script(text, { filename, columnOffset: -before.length, cachedData });
}

/** Null: the folder that we stand in is gone. */
function factsOfUser(): PlaceFacts | null {
  try {
    return processFacts();
  } catch {
    return null;
  }
}

/** The code stands there twice: V8 ends the process at damaged code, and nothing finds damage as quickly as a comparison. */
function codeIn(kept: Buffer, head: Buffer): Buffer | undefined {
  if (!kept.subarray(0, head.length).equals(head)) return undefined;
  const rest = kept.subarray(head.length);
  const code = rest.subarray(0, rest.length / 2);
  return code.length > 0 && code.equals(rest.subarray(code.length)) ? code : undefined;
}
