// The address of a supervisor on disk: written, read, and not believed when it is another thing.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAddress, writeAddress } from '../../src/control/address.ts';
import { temporaryFolder } from '../helpers/folder.ts';

describe('the address', () => {
  test('is read as it was written, and nonsense is none', () => {
    const path = join(temporaryFolder('address'), 'address.json');
    const address = { pid: 7, socket: '/run/s.sock', token: null, config: '/c.yaml' };
    writeAddress(path, address);
    expect(readAddress(path)).toEqual(address);
    writeFileSync(path, '{"pid":"7"}');
    expect(readAddress(path)).toBe(null);
    expect(readAddress(`${path}.none`)).toBe(null);
  });
});
