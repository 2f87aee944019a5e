// The package as npm would publish it: small, whole, and without what only its makers need.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');

interface Packed {
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

function packed(): Packed {
  const argv = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const [only] = JSON.parse(execFileSync('npm', argv, { cwd: root, encoding: 'utf8' })) as Packed[];
  if (only === undefined) throw new Error('npm pack told of no package');
  return only;
}

test('the package is under 600 kB, and has all that package.json and README name, and no more', () => {
  const { size, files } = packed();
  const paths = files.map(({ path }) => path);
  expect(size).toBeLessThan(600_000);
  const { bin, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
    exports: { '.': Record<string, string> };
  };
  const named = [...Object.values(bin), ...Object.values(exports['.'])].map((path) =>
    path.replace(/^\.\//, ''),
  );
  expect(paths).toEqual(expect.arrayContaining([...named, 'README.md', 'LICENSE', 'SECURITY.md']));
  for (const [, link = ''] of readFileSync(join(root, 'README.md'), 'utf8').matchAll(
    /\]\((docs\/[^)#]*\.md)/g,
  ))
    expect(paths, `README.md links to ${link}`).toContain(link);
  // pictures are for who reads about the program: what README shows of them stays where it is read
  expect(
    paths.filter((path) => /\.(svg|png|map)$|^(src|test|bench|chaos|fuzz)\/|\.test\./.test(path)),
  ).toEqual([]);
});
