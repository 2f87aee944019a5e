// What ciphers of node:crypto leave behind: the flags of a supervisor let it be freed long before V8 would by itself.
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { supervisorFlags } from '../../../src/control/launch-pipe.ts';

const mebibyte = 1024 * 1024;
const here = resolve(import.meta.dirname, '../../../src/ssh/ssh2/garbage.ts');

/** A process that makes 256 MiB of garbage, as `encrypt` without native code does; the most that it held of it at once. */
function mostHeld(flags: readonly string[]): number {
  const script = `
    import { createCipheriv } from 'node:crypto';
    import { leaveBehind } from ${JSON.stringify(here)};
    const packet = Buffer.alloc(32 * 1024);
    let most = 0;
    for (let count = 0; count < 8192; count += 1) {
      createCipheriv('aes-128-gcm', Buffer.alloc(16), Buffer.alloc(12)).update(packet);
      leaveBehind(packet.length);
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    console.log(most);`;
  const words = [...flags, '--import', 'tsx', '--input-type=module', '-e', script];
  return Number(execFileSync(process.execPath, words, { encoding: 'utf8' }));
}

describe('memory that a cipher makes for each packet', () => {
  test('is freed after a few MiB in a supervisor, and works without its flags', () => {
    expect(mostHeld(supervisorFlags)).toBeLessThan(8 * mebibyte);
    expect(mostHeld([])).toBeGreaterThan(8 * mebibyte);
  });
});
