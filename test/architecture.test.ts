// Holds the house in shape (DESIGN 3-5): floors, no circles, doors, first lines, sizes.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { picture, pictureFile } from '../docs/draw-architecture.ts';
import {
  allowed,
  circlesIn,
  doors,
  files,
  folderOf,
  importsOf,
  ownImports,
  roomOf,
  rooms,
  src,
} from './helpers/house.ts';

describe('the house', () => {
  test.each(files)('%s imports only downward and through its doors', (file) => {
    expect(rooms[roomOf(file)], `${file} is in no known room`).toBeDefined();
    for (const each of importsOf(file)) {
      const { specifier, typeOnly } = each;
      if (specifier.startsWith('.')) {
        expect(specifier, 'relative imports end in .ts').toMatch(/\.ts$/);
        expect(allowed(file, each), `${file} imports ${specifier}`).toBe(true);
      }
      const door = doors.find(([thing]) => thing.test(specifier));
      if (door !== undefined && !typeOnly) expect(file, `${specifier} has one door`).toMatch(door[1]);
    }
  });

  test('has no import circles', () => {
    expect(
      circlesIn((file) =>
        ownImports(file)
          .filter(({ typeOnly }) => !typeOnly)
          .map(({ target }) => target),
      ),
    ).toEqual([]);
  });

  test('has no circles of types between folders, and none in supervisor/', () => {
    const circles = circlesIn((file) => ownImports(file).map(({ target }) => target));
    const across = circles.filter(
      (circle) => new Set(circle.map(folderOf)).size > 1 || circle[0]?.startsWith('supervisor/'),
    );
    expect(across).toEqual([]);
  });

  test.each(files)('%s opens with its sentence and is not too long', (file) => {
    const text = readFileSync(join(src, file), 'utf8');
    expect(text.split('\n')[0]).toMatch(/^\/\/ \S.*[.:;]/);
    expect(text.split('\n').length, 'lines').toBeLessThanOrEqual(500);
    expect(['index.ts', 'utils.ts', 'types.ts', 'constants.ts', 'helpers.ts']).not.toContain(basename(file));
    expect(text, 'no default export').not.toMatch(/^export default/m);
  });

  test('is drawn as it is', () => {
    expect(readFileSync(pictureFile, 'utf8') === picture(), 'run `npm run docs`').toBe(true);
  });

  test.each(['README.md', 'docs/architecture.md'])('is told of in %s by files that exist', (document) => {
    const text = readFileSync(join(src, '..', document), 'utf8');
    const named = [...text.matchAll(/`((?:\w[\w-]*\/)+[\w-]*)`/g)].map((match) => match[1] ?? '');
    const ours = named.filter((name) => roomOf(name) in rooms || name.startsWith('src/'));
    const missing = ours.filter((name) => !['', '.ts'].some((end) => existsSync(join(src, name + end))));
    expect(missing).toEqual([]);
  });
});
