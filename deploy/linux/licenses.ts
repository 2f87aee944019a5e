// The licences of all that is in the single-file executable: whoever passes it on passes on Node and these packages too.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageFolders, top } from './executable.ts';

/** Where a Node from nodejs.org, one of NodeSource's packages and one of npm's have theirs, beside or above the program. */
const nodeLicenses = [
  '../LICENSE',
  '../share/doc/nodejs/LICENSE',
  'LICENSE',
  '../share/doc/nodejs/copyright',
];

/** Throws where one has no licence that can be found. */
export async function licenses(): Promise<string> {
  const packages = (await packageFolders()).map((folder) => {
    const { name, version } = JSON.parse(
      readFileSync(join(top, folder, 'package.json'), 'utf8'),
    ) as Described;
    return { what: `${name} ${version}`, text: packageLicense(join(top, folder)) };
  });
  const node = nodeLicenses
    .map((path) => join(dirname(process.execPath), path))
    .find((path) => existsSync(path));
  if (node === undefined) throw new Error(`no licence of Node stands beside ${process.execPath}`);
  const all = [
    { what: 'tunnel', text: readFileSync(join(top, 'LICENSE'), 'utf8') },
    { what: `Node.js ${process.version}, which it carries with it`, text: readFileSync(node, 'utf8') },
    ...packages,
  ];
  return all
    .map(({ what, text }) => `${what}\n${'='.repeat(what.length)}\n\n${text.replaceAll('\r', '').trim()}\n`)
    .join('\n\n');
}

interface Described {
  readonly name: string;
  readonly version: string;
}

function packageLicense(folder: string): string {
  const name = readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each));
  if (name === undefined) throw new Error(`no licence stands in ${folder}`);
  return readFileSync(join(folder, name), 'utf8');
}
