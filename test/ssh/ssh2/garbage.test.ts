// What ciphers of node:crypto leave behind is freed long before V8 would do so by itself.
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const mebibyte = 1024 * 1024;
const here = resolve(import.meta.dirname, '../../../src/ssh/ssh2/garbage.ts');

/** A process that makes 256 MiB of garbage, as `encrypt` without native code does; the most that it held of it at once. */
function mostHeld(told: boolean): { readonly most: number; readonly sameFlags: boolean } {
  const script = `
    import { createCipheriv } from 'node:crypto';
    import { cachedDataVersionTag } from 'node:v8';
    import { leaveBehind } from ${JSON.stringify(here)};
    const packet = Buffer.alloc(32 * 1024);
    const flags = cachedDataVersionTag();
    let most = 0;
    for (let count = 0; count < 8192; count += 1) {
      createCipheriv('aes-128-gcm', Buffer.alloc(16), Buffer.alloc(12)).update(packet);
      if (${told}) leaveBehind(packet.length);
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    console.log(JSON.stringify({ most, sameFlags: flags === cachedDataVersionTag() }));`;
  const words = ['--import', 'tsx', '--input-type=module', '-e', script];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' })) as ReturnType<
    typeof mostHeld
  >;
}

describe('memory that a cipher makes for each packet', () => {
  test('is freed after a few MiB, and kept code is good for the same flags as before', () => {
    const { most, sameFlags } = mostHeld(true);
    expect(most).toBeLessThan(16 * mebibyte);
    expect(sameFlags).toBe(true);
    expect(mostHeld(false).most).toBeGreaterThan(16 * mebibyte);
  });
});
