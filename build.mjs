// Builds what ships. Two bundles, the key thread and the man pages. cli.cjs is one small file that answers `tunnel status` by itself, started by
// start.cjs; everything else is rooms.cjs, whose modules run when they are first asked for. Both are CommonJS: Node 20 takes code out of V8's
// cache for nothing else (src/cli/start.ts), and node:fs and its kin are loaded without the parts that nobody asks for. One file: what a program
// needs later is in memory, whatever becomes of its package meanwhile.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { compileFunction } from 'node:vm';
import { build } from 'esbuild';
import ts from 'typescript';

/** Ways into the second bundle, by the file they lead to. */
const rooms = {
  main: 'src/cli/main.ts',
  supervise: 'src/daemon/main.ts',
  keychainChild: 'src/secrets/keychain-child.ts',
  library: 'src/library.ts',
};

/** What the declarations of the library are made of. */
const declared = ['library', 'errors', 'model/status', 'model/question', 'model/secret'];

const common = {
  absWorkingDir: import.meta.dirname,
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  write: false,
};

/** In the small bundle `import()` of one of them leads to the other bundle, by its name; everything else becomes part of the file. */
const leadsToRooms = {
  name: 'leads-to-rooms',
  setup({ onResolve }) {
    onResolve({ filter: /\.ts$/ }, ({ path, kind }) => {
      if (kind !== 'dynamic-import') return undefined;
      const room = Object.entries(rooms).find(([, file]) => file.endsWith(path.replace(/^(\.\.?\/)+/, '/')));
      return room === undefined ? undefined : { path: room[0], external: true };
    });
  },
};

/** Nothing is loaded for its own sake: a part that is not used leaves nothing behind. */
const onlyWhatIsUsed = {
  name: 'only-what-is-used',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /./ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
      if (kind === 'entry-point' || pluginData === 'asked') return undefined;
      const found = await resolve(path, { kind, importer, resolveDir, pluginData: 'asked' });
      return { ...found, sideEffects: false };
    });
  },
};

/** The specs of the commands, which stand beside their code, without that code. */
const specs = await build({
  ...common,
  sourcemap: false,
  entryPoints: ['src/cli/commands.ts'],
  external: ['ssh2', 'ssh2/*', 'keytar'],
  plugins: [onlyWhatIsUsed],
});
const [{ text: specTable }] = specs.outputFiles;
if (/(^|[;\n}])import\b|\b(import|require)\(/.test(specTable))
  throw new Error('a spec of a command needs more than words');

const specsAlone = {
  name: 'specs-alone',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]cli[\\/]commands\.ts$/ }, () => ({ contents: specTable, loader: 'js' }));
  },
};

/** yargs only parses here (src/cli/parse.ts). What it would draw its help with takes a seventh of the time of a command to load. */
const notForYargs = {
  cliui: "export default () => { throw new Error('yargs draws nothing here'); };",
  'string-width': "export default () => { throw new Error('yargs draws nothing here'); };",
  assert: `const test = (wanted, message) => { if (!wanted) throw new Error(message); };
    export const strictEqual = (one, other, message) => test(Object.is(one, other), message);
    export const notStrictEqual = (one, other, message) => test(!Object.is(one, other), message);`,
};
const yargsDrawsNothing = {
  name: 'yargs-draws-nothing',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /./ }, ({ path, importer }) =>
      /[\\/]yargs[\\/]/.test(importer) && path in notForYargs
        ? { path, namespace: 'not-for-yargs' }
        : undefined,
    );
    onLoad({ filter: /./, namespace: 'not-for-yargs' }, ({ path }) => ({ contents: notForYargs[path] }));
  },
};

const small = await build({
  ...common,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  entryPoints: { start: 'src/cli/start.ts', cli: 'src/cli/entry.ts' },
  minifyIdentifiers: true, // a third less to read at each start; a source map tells the names (it is not in the package: npm run build)
  plugins: [leadsToRooms, specsAlone],
});
/** As src/cli/start.ts runs it. Code out of V8's cache has no `import()`: it is handed what leads to a room. */
const asFunction = ({ path, contents, text }) => ({
  path,
  contents: path.endsWith('cli.cjs')
    ? `(function (exports, require, module, __filename, __dirname, import_) { ${text.replaceAll('import("', 'import_("')}\n})`
    : contents,
});
const ways = Object.entries(rooms).map(([name, file]) => `exports.${name} = () => require('./${file}');`);
const large = await build({
  ...common,
  format: 'cjs',
  outfile: 'dist/rooms.cjs',
  outdir: undefined,
  stdin: { contents: ways.join('\n'), sourcefile: 'rooms.cjs', resolveDir: import.meta.dirname },
  minifyIdentifiers: true, // a fifth of what is downloaded
  external: ['ssh2', 'ssh2/*', 'keytar'],
  plugins: [specsAlone, yargsDrawsNothing],
  // For the same reason there is no `import()` of a package either.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': '__url', 'import.meta.resolve': 'undefined' },
  // All that is in it was written for modules, which are strict.
  banner: { js: "'use strict';const __url = require('node:url').pathToFileURL(__filename).href;" },
});

for (const { path, text } of [...small.outputFiles, ...large.outputFiles])
  if (path.endsWith('.cjs') && /[^\0-\x7f]/.test(text))
    throw new Error(`${path} must be ASCII: ${/.{0,40}[^\0-\x7f]/.exec(text)?.[0]}`);

/** `import` of the package. */
const libraryFile = {
  path: join(import.meta.dirname, 'dist/library.js'),
  contents: [
    "import { createRequire } from 'node:module';",
    "export const { openTunnel, TunnelError } = createRequire(import.meta.url)('./rooms.cjs').library();\n",
  ].join('\n'),
};

/** In one file: the supervisor reads it at its start, and runs it from memory. */
const worker = await build({
  ...common,
  format: 'cjs',
  sourcemap: false,
  minifyIdentifiers: true,
  outExtension: { '.js': '.cjs' },
  entryPoints: { 'unlock-worker': 'src/keys/unlock-worker.ts' },
});

/** What a file of ours exports, run here and now: it makes pages from the table of commands. */
const makerIn = async (file) => {
  const options = { ...common, format: 'cjs', sourcemap: false, entryPoints: [file], plugins: [specsAlone] };
  const made = { exports: {} };
  const { outputFiles } = await build(options);
  compileFunction(outputFiles[0].text, ['module', 'require'])(made, createRequire(import.meta.url));
  return made.exports;
};

/** Pages for man(1). */
const { manPages } = await makerIn('docs/man-pages.ts');
const pages = Object.entries(manPages()).map(([name, contents]) => ({
  path: join(import.meta.dirname, 'dist', 'man', name),
  contents,
}));

const declarations = declared.map((name) => {
  const source = readFileSync(new URL(`./src/${name}.ts`, import.meta.url), 'utf8');
  const { outputText } = ts.transpileDeclaration(source, { fileName: `${name}.ts`, compilerOptions: {} });
  return { path: `${import.meta.dirname}/dist/types/${name}.d.ts`, contents: outputText };
});

/** In one file, with nothing to load: its style and its script stand in it, by whose hashes the supervisor lets them run. */
const script = await build({
  ...common,
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  sourcemap: false,
  minify: true,
  entryPoints: ['src/page/main.ts'],
});
const style = await build({ ...common, sourcemap: false, minify: true, entryPoints: ['src/page/page.css'] });
const text = ({ outputFiles: [file] }) => file.text.trim().replaceAll('</', '<\\/');
const page = readFileSync(new URL('./src/page/page.html', import.meta.url), 'utf8')
  .replace('<style></style>', () => `<style>${text(style)}</style>`)
  .replace('<script></script>', () => `<script>${text(script)}</script>`);

// Only now: a build that fails leaves the last good one where it is.
rmSync(new URL('./dist', import.meta.url), { recursive: true, force: true });
const bundles = [small.outputFiles.map(asFunction), large.outputFiles, worker.outputFiles].flat();
for (const { path, contents } of [...bundles, libraryFile, ...pages, ...declarations]) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}
writeFileSync(new URL('./dist/page.html', import.meta.url), page);

// A page of the documentation stands in the repository: it is written where the commands have changed.
const { commandsPage } = await makerIn('docs/command-page.ts');
const commandsFile = new URL('./docs/commands.md', import.meta.url);
const written = existsSync(commandsFile) ? readFileSync(commandsFile, 'utf8') : null;
if (written !== commandsPage()) writeFileSync(commandsFile, commandsPage());
