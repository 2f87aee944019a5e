// A config of one text without includes, for tests.
import { combine, type Combined } from '../../src/config/combine.ts';
import { parseFile } from '../../src/config/parse.ts';

export function parseConfig(file: string, text: string): Combined {
  return combine([parseFile(file, text)], { home: '/home/me' });
}
