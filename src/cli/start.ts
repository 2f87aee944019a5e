// Where the program starts: runs each of its two bundles from the code that V8 made of it before, where there is such, else as Node
// would. V8 believes a cache unseen: it looks neither at the bundle (but its length) nor for damage, so both are done here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { readCacheFile, writeCacheFile } from '../files/cache-file.ts';
import { processFacts } from '../files/process-facts.ts';
import { placesOf, type PlaceFacts } from '../paths.ts';

/** As Node wraps a CommonJS module. */
const before = '(function (exports, require, module, __filename, __dirname) { ';
const behind = '\n})';

/** Commands with code of the small bundle for themselves: it holds the functions that ran, and these must be quick. */
const quick = ['status', '__complete', '--help', '--version'];

/** With one of these no command runs. */
const noCommand = ['--help', '-h', '--version', '-V'];

const limitBytes = 16 * 1024 * 1024;

/** Then V8 has thrown away what ran at the beginning only, and its code would be of no use to others. */
const longRunSeconds = 10;

/** A supervisor lives for longer than that: its code is kept once it has started, and is at work. */
const startedMs = 3000;
const supervises = '__supervise';

interface Bundle {
  readonly file: string;
  /** It is written as the function that it is called as, with `lead` in the place of `import()`, which kept code cannot do (build.mjs). */
  readonly isFunction: boolean;
  /** The name of its code in the cache folder. */
  readonly kept: string;
  /** What this run does with it, asked at its end: code is kept of one run for each of them, all in one file. Null: of none. */
  readonly use: () => string | null;
}

type Rooms = Readonly<Record<string, () => unknown>>;

const [, , word = '--help', ...others] = process.argv;
const facts = kindOf(word) === null ? null : factsOfUser();
let rooms: Rooms | null = null;
run({ file: 'cli.cjs', isFunction: true, kept: kindOf(word) ?? '', use: wayTaken }, (room) => {
  rooms ??= run({ file: 'rooms.cjs', isFunction: false, kept: 'rooms', use: commandRun }) as Rooms;
  return Promise.resolve(rooms[room]?.());
});

/** Null: the child for the keychain, or a run whose coverage is counted, in which each function must be compiled anew. */
function kindOf(first: string): string | null {
  if (process.env['NODE_V8_COVERAGE'] || first === '__keychain') return null;
  if (first === supervises) return 'supervisor';
  return quick.includes(first) ? first.replace(/^[-_]+/, '') : 'other';
}

/** Through the small bundle: where the ways of one command part (fast.ts, complete.ts). */
function wayTaken(): string {
  if (word === 'status')
    return `${others.includes('--json') ? 'json' : 'text'}-${rooms === null ? 'answered' : 'led-on'}`;
  if (word === '__complete')
    return `${others[0] === 'bash' ? 'bash' : 'other'}-${others.length > 2 ? 'names' : 'commands'}`;
  return 'all';
}

/** A command runs what no other one does. Behind options it is not looked for, and its help is not the command. */
function commandRun(): string | null {
  if (word === supervises) return 'supervisor';
  return /^[a-z]{1,20}$/.test(word) && !others.some((each) => noCommand.includes(each)) ? word : null;
}

/** What the bundle exports. */
function run(bundle: Bundle, lead?: (room: string) => Promise<unknown>): unknown {
  const filename = join(__dirname, bundle.file);
  const own = { exports: {} };
  const program = programOf(bundle, filename).runInThisContext() as (...words: unknown[]) => void;
  program.apply(own.exports, [own.exports, require, own, filename, __dirname, lead]);
  return own.exports;
}

function programOf({ isFunction, kept, use }: Bundle, filename: string): Script {
  const source = readFileSync(filename);
  const compiled = (cachedData?: Buffer): Script => {
    const text = source.toString('latin1'); // ASCII (build.mjs): a byte is a character
    // As it was read: with a second copy V8 would have to collect garbage before `status` ends.
    if (isFunction) return new Script(text, { filename, cachedData });
    return new Script(`${before}${text}${behind}`, { filename, columnOffset: -before.length, cachedData });
  };
  if (facts === null) return compiled();
  // What must be the same: V8 looks at its own flags, but would be asked in vain each time.
  const { execArgv, env, version, arch } = process;
  const madeOf = `${JSON.stringify([filename, version, arch, execArgv, env['NODE_OPTIONS']])}\n`;
  const file = join(placesOf(facts).cacheDir, `code-${kept}-${shortHash(madeOf)}`);
  const known = codeIn(readCacheFile(file, facts, limitBytes), madeOf, source);
  const script = compiled(known?.code);
  const uses = known === null || script.cachedDataRejected === true ? [] : known.uses;
  keepCode(script, { file, source, madeOf, uses, use, owner: facts });
  return script;
}

/** So that two programs, or Nodes, do not take turns at one file (FNV-1a). */
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36);
}

interface Keeping {
  readonly file: string;
  readonly source: Buffer;
  readonly madeOf: string;
  /** What is kept already. */
  readonly uses: readonly string[];
  readonly use: Bundle['use'];
  readonly owner: PlaceFacts;
}

function keepCode(script: Script, { file, source, madeOf, uses, use, owner }: Keeping): void {
  /** False: not now. Where a request for a file hangs, a write of ours might hang as well. */
  const keep = (): boolean => {
    const own = use();
    if (own === null || uses.includes(own)) return true;
    if (process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))) return false;
    const fresh = script.createCachedData();
    const head = Buffer.from(`${madeOf}${[...uses, own].join(' ')}\n`);
    writeCacheFile(file, [head, source, fresh, fresh], owner);
    return true;
  };
  if (word === supervises) {
    if (uses.length === 0) onceStarted(keep); // else nothing is held on to
    return;
  }
  process.once('exit', (exitCode) => {
    // What failed ran little of what is meant. `performance` would load node:perf_hooks.
    if (exitCode === 0 && process.uptime() <= longRunSeconds) keep();
  });
}

function onceStarted(keep: () => boolean): void {
  setTimeout(() => {
    if (!keep()) onceStarted(keep);
  }, startedMs).unref();
}

/** Null: the folder that we stand in is gone. */
function factsOfUser(): PlaceFacts | null {
  try {
    return processFacts();
  } catch {
    return null;
  }
}

interface KeptCode {
  readonly code: Buffer;
  readonly uses: readonly string[];
}

/** The code stands there twice: V8 ends the process at damaged code, and nothing finds damage as quickly as a comparison. */
function codeIn(kept: Buffer | null, madeOf: string, source: Buffer): KeptCode | null {
  if (kept === null) return null;
  const start = kept.indexOf('\n', madeOf.length) + 1;
  const end = start + source.length;
  if (kept.toString('latin1', 0, madeOf.length) !== madeOf) return null;
  if (!kept.subarray(start, end).equals(source)) return null;
  const rest = kept.subarray(end);
  const code = rest.subarray(0, rest.length / 2);
  if (code.length === 0 || !code.equals(rest.subarray(code.length))) return null;
  return { code, uses: kept.toString('latin1', madeOf.length, start).trim().split(' ') };
}
