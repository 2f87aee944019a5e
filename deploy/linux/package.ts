// npm run package -- [--into FOLDER]: for Linux one file that needs no Node, and a Debian package of it. Both are the same bytes each time
// they are made from a commit with the same Node and packages.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { nativeCrypto } from '../../src/ssh/ssh2/parts.ts';
import { runScript } from '../../test/helpers/script.ts';
import { makeDeb } from './deb.ts';
import { makeExecutable, top } from './executable.ts';
import { licenses } from './licenses.ts';

const usage = `usage: npm run package -- [--into FOLDER]

Makes tunnel-VERSION-linux-ARCH, one file with the Node that runs this inside (one from nodejs.org, NodeSource or npm: Debian's own
is no single file), the licences of what is in it, and, where dpkg-dev is installed, tunnel_VERSION_ARCH.deb.

  --into FOLDER    where they go (default: packages)

SOURCE_DATE_EPOCH, DEBFULLNAME, DEBEMAIL and DPKG_DEB_COMPRESSOR_TYPE in the environment are heard; without them time and
maintainer are those of the last commit.`;

interface Asked {
  readonly into: string;
}

function readWords(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: { into: { type: 'string', default: join(top, 'packages') } },
  });
  return { into: resolve(values.into) };
}

async function run({ into }: Asked): Promise<number> {
  const missing = whatIsMissing();
  if (missing !== null) {
    console.error(`the packages cannot be made here: ${missing}`);
    return 1;
  }
  const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { version: string };
  const executable = join(into, `tunnel-${version}-linux-${process.arch}`);
  const folder = mkdtempSync(join(tmpdir(), 'tunnel-package-'));
  try {
    mkdirSync(into, { recursive: true });
    await makeExecutable(executable, folder);
    const text = await licenses();
    writeFileSync(`${executable}.licenses.txt`, text);
    tell(executable);
    if (existsOnPath('dpkg-deb') && existsOnPath('dpkg-shlibdeps'))
      tell(makeDeb({ version, ...released(), executable, licenses: text }, into, folder));
    else console.error('no Debian package: it needs dpkg-deb and dpkg-shlibdeps (dpkg-dev)');
  } finally {
    rmSync(folder, { recursive: true });
  }
  return 0;
}

/** A sentence; null where they can be made. */
function whatIsMissing(): string | null {
  if (process.platform !== 'linux') return 'they are for Linux, and are made there';
  if (!existsOnPath('strip')) return 'there is no strip (apt-get install binutils)';
  if (!nativeCrypto()) return 'ssh2 has no native part that was built for this Node (npm ci)';
  return null;
}

const tell = (file: string): void => console.log(`${file}  ${(statSync(file).size / 1e6).toFixed(1)} MB`);

function existsOnPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));
}

function released(): { releasedSeconds: number; maintainer: string } {
  const { SOURCE_DATE_EPOCH: epoch, DEBFULLNAME: name, DEBEMAIL: address } = process.env;
  const commit = (format: string): string =>
    execFileSync('git', ['log', '-1', `--format=${format}`], { cwd: top, encoding: 'utf8' }).trim();
  return {
    releasedSeconds: Number(epoch ?? commit('%ct')),
    maintainer: name === undefined || address === undefined ? commit('%an <%ae>') : `${name} <${address}>`,
  };
}

await runScript({ usage, read: readWords, run });
