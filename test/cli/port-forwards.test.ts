// Which word of `tunnel ports … --up` is the server, and which are ports.
import { expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/parse.ts';
import { readPortsWords } from '../../src/cli/port-forwards.ts';
import { failureOf } from '../helpers/failure.ts';
import { hintOf } from '../helpers/hint.ts';

const read = (line: string): ReturnType<typeof readPortsWords> =>
  readPortsWords(parseCommandLine(['ports', ...line.split(' ')]).args);

test.each([
  ['db', 'db', []],
  ['5432', '5432', []],
  ['db --up 5432 6379', 'db', [5432, 6379]],
  ['db --up 5432,6379 8080', 'db', [5432, 6379, 8080]],
  ['--up 5432 6379 me@katie:22', 'me@katie:22', [5432, 6379]],
  ['5432 --up 80 80', '5432', [80]],
])('%s is about %s and forwards %j', (line, server, wanted) => {
  expect(read(line)).toEqual({ server, wanted });
});

test.each([
  ['db web', 'tunnel ports is about one server, and cannot use web', 'ports --help'],
  ['db 1 2', 'tunnel ports is about one server, and cannot use 1 and 2', 'ports db --up 1 2'],
  ['db --up http', '--up takes ports, 1-65535, and not http', 'ports --help'],
  ['--up 70000 db', '--up takes ports, 1-65535, and not 70000', 'ports --help'],
  ['db web --up 80', '--up takes ports, 1-65535, and not web', 'ports --help'],
  ['db --remap', 'tunnel ports takes --remap and --timeout only with --up', 'ports --help'],
  ['db --timeout 5s', 'tunnel ports takes --remap and --timeout only with --up', 'ports --help'],
])('%s is refused, and what is meant is said', async (line, sentence, hint) => {
  const fault = await failureOf(Promise.resolve().then(() => read(line)));
  expect(fault).toMatchObject({ code: 'USAGE', message: sentence });
  expect(hintOf(fault)).toBe(`tunnel ${hint}`);
});
