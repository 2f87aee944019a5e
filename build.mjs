// Builds what ships. Two bundles, the key thread and the man pages. cli.cjs is one small file that answers `tunnel status` by itself, started by
// start.cjs; everything else is split, so that no command loads what only another one needs. The small one is CommonJS: there node:fs and its kin are
// loaded without the parts that nobody asks for, which is a tenth of the time.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { compileFunction } from 'node:vm';
import { build } from 'esbuild';
import ts from 'typescript';

/** Entries of the second bundle, by the file they are made from. */
const rooms = {
  main: 'src/cli/main.ts',
  supervise: 'src/daemon/main.ts',
  'keychain-child': 'src/secrets/keychain-child.ts',
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

/** In the small bundle `import()` of one of them leads to the other bundle; everything else becomes part of the file. */
const leadsToRooms = {
  name: 'leads-to-rooms',
  setup({ onResolve }) {
    onResolve({ filter: /\.ts$/ }, ({ path, kind }) => {
      if (kind !== 'dynamic-import') return undefined;
      const room = Object.entries(rooms).find(([, file]) => file.endsWith(path.replace(/^(\.\.?\/)+/, '/')));
      return room === undefined ? undefined : { path: `./${room[0]}.js`, external: true };
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

const small = await build({
  ...common,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  entryPoints: { start: 'src/cli/start.ts', cli: 'src/cli/entry.ts' },
  plugins: [leadsToRooms, specsAlone],
});
/** Code out of V8's cache has no `import()`: src/cli/start.ts hands its own in. */
const handedIn = ({ path, contents, text }) => ({
  path,
  contents: path.endsWith('cli.cjs') ? text.replaceAll('import("./', 'import_("./') : contents,
});
const large = await build({
  ...common,
  entryPoints: rooms,
  splitting: true,
  minifyIdentifiers: true, // a fifth of what is downloaded; a source map tells the names (it is not in the package: npm run build)
  external: ['ssh2', 'ssh2/*', 'keytar'],
  plugins: [specsAlone],
  // What CommonJS packages inside the bundle expect to find (write-file-atomic names its temp files after __filename).
  banner: {
    js: [
      "import { createRequire as __createRequire } from 'node:module';",
      "import { fileURLToPath as __fileURLToPath } from 'node:url';",
      'const require = __createRequire(import.meta.url);',
      'const __filename = __fileURLToPath(import.meta.url);',
    ].join(''),
  },
});

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
const bundles = [small.outputFiles.map(handedIn), large.outputFiles, worker.outputFiles].flat();
for (const { path, contents } of [...bundles, ...pages, ...declarations]) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}
writeFileSync(new URL('./dist/page.html', import.meta.url), page);

// A page of the documentation stands in the repository: it is written where the commands have changed.
const { commandsPage } = await makerIn('docs/command-page.ts');
const commandsFile = new URL('./docs/commands.md', import.meta.url);
const written = existsSync(commandsFile) ? readFileSync(commandsFile, 'utf8') : null;
if (written !== commandsPage()) writeFileSync(commandsFile, commandsPage());
