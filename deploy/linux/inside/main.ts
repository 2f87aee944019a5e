// Where the single-file executable starts: it is the package and a Node in one file, and runs the package as Node would.
import { getRawAsset, getAsset } from 'node:sea';
import { setFlagsFromString } from 'node:v8';
import { loadNative } from './native.ts';
import { openArchive, type Read } from './archive.ts';

const names = new Set(JSON.parse(getAsset('names', 'utf8')) as string[]);
const read: Read = (name) => (names.has(name) ? Buffer.from(getRawAsset(name) as ArrayBuffer) : null);

takeArguments();
openArchive(process.execPath, read, loadNative)('dist/start.cjs');

/**
 * The program starts its children as [node, options of node, script, words]. Here node and script are both this file, and Node takes no
 * option from the command line of such a file: they are taken here.
 */
function takeArguments(): void {
  const [own, , ...words] = process.argv as [string, string, ...string[]];
  const script = words.indexOf(process.execPath);
  const options = words.slice(0, Math.max(script, 0));
  const isChild = script >= 0 && options.every((word) => /^--[a-z-]+=\d+$/.test(word));
  process.execArgv = isChild ? options : [];
  process.argv = [own, process.execPath, ...(isChild ? words.slice(script + 1) : words)];
  if (!isChild) return;
  for (const option of options)
    // V8 reads this size once, before this runs: what is left to say is that what there is (1 MiB in Node 20) does not grow.
    setFlagsFromString(option.startsWith('--max-semi-space-size=') ? '--semi-space-growth-factor=1' : option);
}
