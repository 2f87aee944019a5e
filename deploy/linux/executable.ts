// The single-file executable: the Node that runs this, with the package inside (Node's SEA). Nothing of the package is built anew: its
// bundles go in as they are.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { build, type BuildOptions } from 'esbuild';

export const top = resolve(import.meta.dirname, '../..');

const common = {
  absWorkingDir: top,
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20.19',
  minify: true,
  legalComments: 'none',
  logLevel: 'error',
  write: false,
} as const satisfies BuildOptions;

/** Node finds it in its own file (nodejs.org/api/single-executable-applications.html). */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Makes it at `file`. `folder`: for what is needed meanwhile. */
export async function makeExecutable(file: string, folder: string): Promise<void> {
  const config = join(folder, 'sea.json');
  const blob = join(folder, 'sea.blob');
  write(
    join(folder, 'main.cjs'),
    await bundle({ entryPoints: ['deploy/linux/inside/main.ts'], minify: false }),
  );
  const assets: Record<string, string> = { ...(await shipped()) };
  assets['names'] = write(join(folder, 'names'), JSON.stringify(Object.keys(assets)));
  // Its name stays in the file, so it is one without a folder.
  const facts = { main: 'main.cjs', output: blob, disableExperimentalSEAWarning: true, assets };
  write(config, JSON.stringify(facts));
  quietly(process.execPath, ['--experimental-sea-config', config], folder);
  rmSync(file, { force: true });
  copyFileSync(process.execPath, file);
  chmodSync(file, 0o755);
  quietly('strip', ['--strip-unneeded', file]);
  const postject = createRequire(import.meta.url).resolve('postject/dist/cli.js');
  quietly(process.execPath, [postject, file, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', fuse]);
}

/** What it says is shown where it fails: execFileSync has it in its error. */
function quietly(program: string, words: readonly string[], cwd = top): void {
  execFileSync(program, words, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** The files inside, by their paths in the package. */
async function shipped(): Promise<Record<string, string>> {
  const programs = ['start', 'cli', 'rooms', 'unlock-worker'].map((name) => `dist/${name}.cjs`);
  const names = ['package.json', 'dist/page.html', ...programs, ...(await packageFiles())];
  return Object.fromEntries(names.map((name) => [name, join(top, name)]));
}

/** Of the packages that are no part of the bundles: what they load, and their machine code for this machine. */
async function packageFiles(): Promise<string[]> {
  const contents = "require('ssh2'); require('keytar')";
  const { metafile } = await build({
    ...common,
    stdin: { contents, resolveDir: top },
    metafile: true,
    loader: { '.node': 'empty' },
    logLevel: 'silent', // machine code that was not built is told by those who miss it
  });
  const loaded = Object.keys(metafile.inputs).filter((name) => name.startsWith('node_modules/'));
  const folders = [...new Set(loaded.map(packageFolder))];
  const inside = folders.find((folder) => folder.lastIndexOf('node_modules/') > 0);
  if (inside !== undefined) throw new Error(`${inside}: those in the executable lie side by side`);
  const prebuilt = `node_modules/keytar/prebuilds/${process.platform}-${process.arch}/keytar.node`;
  const descriptions = folders.map((folder) => `${folder}/package.json`);
  return [...new Set([...loaded, ...descriptions, ...(existsSync(join(top, prebuilt)) ? [prebuilt] : [])])];
}

const packageFolder = (path: string): string => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? path;

/** The folders of the packages that are in it, those of the bundles by what their source maps name. */
export async function packageFolders(): Promise<string[]> {
  const dist = join(top, 'dist');
  const maps = readdirSync(dist).filter((name) => name.endsWith('.map'));
  const sources = maps.flatMap(
    (name) => (JSON.parse(readFileSync(join(dist, name), 'utf8')) as { sources: string[] }).sources,
  );
  const paths = sources.map((source) => relative(top, join(dist, source)));
  const bundled = paths.filter((path) => path.startsWith('node_modules/'));
  return [...new Set([...bundled, ...(await packageFiles())].map(packageFolder))].sort();
}

async function bundle(options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({ ...common, ...options, write: false });
  return outputFiles[0]?.text ?? '';
}

function write(file: string, text: string): string {
  writeFileSync(file, text);
  return file;
}
