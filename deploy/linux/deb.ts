// The Debian package. What it installs as /usr/bin/tunnel is the single-file executable: it runs on every Debian and Ubuntu whose libc Node
// itself takes, while a package that depends on nodejs (>= 20.19) could not be installed on Debian 12, whose nodejs is 18.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { top } from './executable.ts';

export interface DebParts {
  readonly version: string;
  /** What its changelog and its files are dated with. */
  readonly releasedSeconds: number;
  /** `NAME <ADDRESS>` */
  readonly maintainer: string;
  readonly executable: string;
  readonly licenses: string;
}

/** Makes it in `into`; answers its path. `folder`: for what is needed meanwhile. */
export function makeDeb(parts: DebParts, into: string, folder: string): string {
  const root = join(folder, 'root');
  for (const [path, contents, mode = 0o644] of [...filesOf(parts), ...documents()])
    put(join(root, path), contents, mode);
  const architecture = said('dpkg', ['--print-architecture']);
  const installed = entriesBelow(root).filter(({ isFolder }) => !isFolder);
  const sums = installed.map(({ path }) => `${md5(path)}  ${relative(root, path)}\n`);
  put(join(root, 'DEBIAN/md5sums'), sums.join(''));
  const kib = installed.reduce((sum, { path }) => sum + Math.ceil(statSync(path).size / 1024), 0);
  put(join(root, 'DEBIAN/control'), control(parts, { architecture, kib, depends: libraries(parts, folder) }));
  for (const { path, isFolder } of entriesBelow(root).toReversed()) {
    if (isFolder) chmodSync(path, 0o755); // whatever the umask is
    utimesSync(path, parts.releasedSeconds, parts.releasedSeconds);
  }
  const file = join(into, `tunnel_${parts.version}_${architecture}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(parts.releasedSeconds) },
  });
  return file;
}

type File = readonly [path: string, contents: string | Buffer, mode?: number];

function filesOf({ executable, licenses, ...parts }: DebParts): readonly File[] {
  const man = (section: number, name: string): File => [
    `usr/share/man/man${section}/${name}.${section}.gz`,
    zipped(readFileSync(join(top, 'dist/man', `${name}.${section}`))),
  ];
  const completion = (shell: string): string => said(executable, ['completion', shell], false);
  return [
    ['usr/bin/tunnel', readFileSync(executable), 0o755],
    man(1, 'tunnel'),
    man(5, 'tunnels.yaml'),
    ['usr/share/bash-completion/completions/tunnel', completion('bash')],
    ['usr/share/zsh/vendor-completions/_tunnel', completion('zsh')],
    ['usr/share/fish/vendor_completions.d/tunnel.fish', completion('fish')],
    ['usr/share/doc/tunnel/copyright', licenses],
    ['usr/share/lintian/overrides/tunnel', overrides],
    ['usr/share/doc/tunnel/changelog.gz', zipped(changelog(parts))],
  ];
}

/** What lintian(1) says of the Node that is inside, and of its licence, which has to go with it word for word. */
const overrides = `# Node.js as it is built for all Linux systems
tunnel: embedded-library *
tunnel: hardening-no-pie *
# the licence of Node.js, word for word
tunnel: copyright-file-contains-full-apache-2-license
tunnel: copyright-not-using-common-license-for-gpl
tunnel: old-fsf-address-in-copyright-file
`;

/** As they lie in the npm package, so that their links hold. */
function documents(): readonly File[] {
  const pages = readdirSync(join(top, 'docs')).filter(
    (name) => name.endsWith('.md') && name !== 'performance.md',
  );
  const names = ['README.md', 'SECURITY.md', 'tunnels.example.yaml', ...pages.map((name) => `docs/${name}`)];
  return names.map((name) => [`usr/share/doc/tunnel/${name}`, readFileSync(join(top, name))]);
}

interface Facts {
  readonly architecture: string;
  readonly kib: number;
  readonly depends: string;
}

const control = (
  { version, maintainer }: DebParts,
  { architecture, kib, depends }: Facts,
): string => `Package: tunnel
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${kib}
Depends: ${depends}
Recommends: openssh-client
Suggests: libsecret-1-0
Section: net
Priority: optional
Description: SSH tunnels from one YAML file that stay up
 Forwarded ports, reverse forwards and SOCKS proxies are written down in one
 file and brought up by one command. A supervisor in the background keeps them
 up: a port never refuses while its server is out of reach, and the status
 tells why one is not up.
 .
 The program carries the Node.js that it runs on. With openssh-client it reads
 ssh_config as ssh does, with libsecret-1-0 it keeps secrets in the keychain of
 the desktop.
`;

const changelog = ({
  version,
  maintainer,
  releasedSeconds,
}: Omit<DebParts, 'executable' | 'licenses'>): string =>
  `tunnel (${version}) unstable; urgency=medium

  * Version ${version}.

 -- ${maintainer}  ${new Date(releasedSeconds * 1000).toUTCString().replace('GMT', '+0000')}
`;

/** What must be installed for the executable and the machine code in it, as Debian's own tool reads it from them. */
function libraries({ executable }: DebParts, folder: string): string {
  put(join(folder, 'debian/control'), 'Source: tunnel\n');
  const native = [
    'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node',
    'cpu-features/build/Release/cpufeatures.node',
  ];
  const files = [executable, ...native.map((name) => join(top, 'node_modules', name))];
  const there = files.filter((file) => statSync(file, { throwIfNoEntry: false }) !== undefined);
  const words = ['-O', '--ignore-missing-info', ...there.map((file) => `-e${file}`)];
  const line = execFileSync('dpkg-shlibdeps', words, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'], // that what Node loads has symbols of Node's
  });
  return line.trim().replace(/^shlibs:Depends=/, '');
}

function said(program: string, words: readonly string[], trimmed = true): string {
  const text = execFileSync(program, words, { encoding: 'utf8' });
  return trimmed ? text.trim() : text;
}

/** Without a time in it, as `gzip -9n`. */
const zipped = (contents: string | Buffer): Buffer => gzipSync(contents, { level: 9 });

const md5 = (path: string): string => createHash('md5').update(readFileSync(path)).digest('hex');

function put(path: string, contents: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
  chmodSync(path, mode);
}

function entriesBelow(folder: string): readonly { readonly path: string; readonly isFolder: boolean }[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const paths = ['.', ...names].map((name) => join(folder, name));
  return paths.map((path) => ({ path, isFolder: statSync(path).isDirectory() }));
}
