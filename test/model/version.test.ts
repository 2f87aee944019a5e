// The version is written twice, since the bundle should not carry package.json.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { version } from '../../src/model/version.ts';

test('the version is the one of package.json', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  expect(version).toBe((JSON.parse(text) as { version: string }).version);
});
